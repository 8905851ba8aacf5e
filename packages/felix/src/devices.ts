// Programs the interfaces of this host's workloads: routes, neighbours, sysctls and addresses for BGP. Reports whether the kernel has all of it.
import { setImmediate } from 'node:timers/promises';
import { type Cidr, familyOf, type IpAddress } from '@calico-openstack/addresses';
import { type Clock, systemClock } from '@calico-openstack/agent';
import type { WorkloadId } from '@calico-openstack/datamodel';
import type { Link, LinkChange, Links, Neighbour, NetconfChange, Programmer, ProgrammingRefusal, Route } from '@calico-openstack/kernel';
import type { WorkloadDevice } from '@calico-openstack/render';
import { Arrivals, type PlacedDevice } from './devices/arrivals.ts';
import { AddressLeads } from './devices/leads.ts';
import { restoreLinkLocal } from './devices/link-locals.ts';
import { PeeringAddresses, type PeeringLinks } from './devices/peering.ts';
import type { BandwidthLimits } from './devices/shaping.ts';
import { InterfaceSysctls, isUnfiltered, type SysctlKernel, type SysctlSettings } from './devices/sysctls.ts';
import { nothingWanted, type RoutingSettings, type WantedObjects, wantedOf } from './devices/wanted.ts';

/** The settings that decide how interfaces are programmed. */
export type DeviceSettings = RoutingSettings &
  SysctlSettings & {
    /** For how long routes stay elevated after a live migration (`LiveMigrationRouteConvergenceTime`). */
    readonly convergenceMs: number;
  };

/** What an earlier run has left in the kernel. */
export type EarlierRun = {
  /** The interfaces that single addresses led to. */
  readonly led: ReadonlyMap<Cidr, string>;
  /** The interfaces with elevated routes: their workloads have arrived by live migration. */
  readonly elevated: ReadonlySet<string>;
};

/** The parts of the kernel that interfaces need. */
export type DeviceKernel = SysctlKernel & {
  readonly links: Pick<Links, 'link' | 'nameOf' | 'knownNameOf'> & PeeringLinks;
  readonly routes: Programmer<Route>;
  readonly neighbours: Programmer<Neighbour>;
  /** The interfaces on which BIRD's routes belong to BIRD. It is kept current here, and read where a route's owner is decided (`openHostKernel`). */
  readonly bgpInterfaces: Set<string>;
  readonly limits: BandwidthLimits;
  /** Why other programs' rules let no packet of an interface pass; undefined when they do. */
  readonly obstacleOf: (interfaceName: string, ipv6: boolean) => string | undefined;
};

/** The state of an endpoint's interface. `error` means that the interface exists and something of it could not be programmed. */
export type DeviceState = { readonly status: 'up' | 'down' } | { readonly status: 'error'; readonly reason: string };

/** The result of `apply`. */
export type DevicesReport = {
  /** The endpoints whose state has changed. */
  readonly changed: ReadonlyMap<WorkloadId, DeviceState>;
  /** Whether the kernel refused something that may succeed after a pause. */
  readonly retry: boolean;
};

/** The interfaces of workloads. Changes take effect with the next `apply`. */
export interface Devices {
  /**
   * Sets the desired devices of some endpoints; undefined for an endpoint that is gone. Removals come before additions.
   * @returns the single addresses that no longer lead to the same interface. Their old connections must not continue to a new owner, so no route leads to them until `release`.
   */
  update(changes: ReadonlyMap<WorkloadId, WorkloadDevice | undefined>): readonly IpAddress[];
  setSettings(settings: DeviceSettings): void;
  /** Notes that a frame of a guest came in on a link. Returns whether a workload that was awaited has arrived by that; then the next `update` and `apply` route to it. */
  heard(linkIndex: number): boolean;
  /** Whether a workload is awaited by live migration. */
  readonly areAnyAwaited: boolean;
  /** After how many milliseconds the next `update` changes something by itself; undefined when it does not. */
  restMs(): number | undefined;
  /** Notes that links or their addresses have changed. */
  linksChanged(change: LinkChange): void;
  /** Notes that settings of an interface have changed. Returns whether the next `apply` has something to restore. */
  settingsChanged(change: NetconfChange): boolean;
  /** The MAC with which the host answers an ARP request for a gateway that came in on a link; undefined when it does not answer. */
  macOfGateway(linkIndex: number, address: string): string | undefined;
  /** Says that another answer of `DeviceKernel.obstacleOf` is possible. The next `apply` reports what differs. */
  obstaclesChanged(): void;
  /** Whether the source of what a workload sends is left to our rules, so that the kernel's own reverse-path filter must let everything in from its interface. */
  readonly areAnyUnfiltered: boolean;
  /** Programs the kernel. */
  apply(): DevicesReport;
  /** Says that the connections of these addresses have been cut. The next `apply` lets routes lead to them again. */
  release(addresses: Iterable<IpAddress>): void;
  /** Says why the connections of these addresses cannot be cut yet. The next `apply` reports the reason for endpoints that have one of them. */
  hold(addresses: Iterable<IpAddress>, reason: string): void;
  /** Compares all routes, neighbours and sysctls with the kernel, in slices. A difference in routes and neighbours is reported as drift, and the next `apply` restores sysctls. */
  audit(): Promise<void>;
  /** How many routes of each family and how many interfaces are desired, for metrics. Cost: the number of routes. */
  counts(): RouteCounts;
}

/** Numbers of desired routes by family, and of the interfaces that they lead to. */
export type RouteCounts = { readonly routes: Readonly<Record<4 | 6, number>>; readonly interfaces: number };

/** Devices without endpoints. @param earlier what an earlier run has left, as far as the kernel still says */
export function createDevices(kernel: DeviceKernel, initial: DeviceSettings, earlier: EarlierRun, clock: Pick<Clock, 'steadyMs'> = systemClock): Devices {
  return new WorkloadDevices(kernel, initial, earlier, clock);
}

type Changes<Device = PlacedDevice> = ReadonlyMap<WorkloadId, Device | undefined>;

class WorkloadDevices implements Devices {
  readonly #kernel: DeviceKernel;
  #settings: DeviceSettings;
  readonly #clock: Pick<Clock, 'steadyMs'>;
  readonly #arrivals: Arrivals;
  readonly #leads: AddressLeads;
  readonly #sysctls: InterfaceSysctls;
  readonly #peering: PeeringAddresses;
  readonly #devices = new Map<WorkloadId, PlacedDevice>();
  readonly #byName = new Map<string, WorkloadId>();
  /** The objects of each endpoint. All of them have been handed to the programmers, except routes of addresses that are leaving. */
  readonly #programmed = new Map<WorkloadId, WantedObjects>();
  /** The blackholes of workloads that have left by live migration, and when they end: BGP may bring the route to the new host later than etcd the end of the migration. */
  readonly #vacated = new Map<string, number>();
  /** The endpoints whose state may have changed since it was reported. */
  readonly #dirty = new Set<WorkloadId>();
  /** The interfaces from which the kernel's reverse-path filter must let everything in. */
  readonly #unfiltered = new Set<string>();
  /** The last reported state of each endpoint, as text. */
  readonly #states = new Map<WorkloadId, string>();
  /** The routes and neighbours that the kernel has refused, by key. */
  #refused: ReadonlyMap<string, ProgrammingRefusal> = new Map();

  constructor(kernel: DeviceKernel, settings: DeviceSettings, earlier: EarlierRun, clock: Pick<Clock, 'steadyMs'>) {
    this.#kernel = kernel;
    this.#settings = settings;
    this.#clock = clock;
    this.#arrivals = new Arrivals(earlier.elevated);
    this.#leads = new AddressLeads(earlier.led);
    this.#sysctls = new InterfaceSysctls(kernel);
    this.#peering = new PeeringAddresses(kernel.links);
  }

  update(wanted: Changes<WorkloadDevice>): readonly IpAddress[] {
    const changes = this.#arrivals.place(wanted, this.#clock.steadyMs(), this.#settings.convergenceMs);
    const going = [...changes.keys()].flatMap((id) => this.#devices.get(id) ?? []);
    const coming = [...changes.values()].flatMap((device) => device ?? []);
    const left = this.#leads.change(going, coming);
    for (const id of changes.keys()) {
      const before = this.#devices.get(id);
      if (!before || this.#byName.get(before.interfaceName) !== id) continue;
      this.#byName.delete(before.interfaceName);
      this.#unfiltered.delete(before.interfaceName);
      this.#kernel.bgpInterfaces.delete(before.interfaceName);
      this.#kernel.limits.abandon(before.interfaceName);
    }
    for (const [id, device] of changes) {
      if (device) {
        this.#devices.set(id, device);
        this.#byName.set(device.interfaceName, id);
        if (isUnfiltered(device)) this.#unfiltered.add(device.interfaceName);
        this.#sysctls.forget(device.interfaceName);
        this.#peering.forget(device.interfaceName);
        this.#kernel.limits.forget(device.interfaceName);
        if (device.peeringAddresses.length > 0) this.#kernel.bgpInterfaces.add(device.interfaceName);
      } else this.#devices.delete(id);
    }
    this.#program(changes);
    this.#endVacancies();
    return left;
  }

  setSettings(settings: DeviceSettings): void {
    this.#settings = settings;
    this.#sysctls.forget();
    this.#peering.forget();
    this.#program(this.#devices);
  }

  heard(linkIndex: number): boolean {
    const name = this.#kernel.links.nameOf(linkIndex);
    const id = name === undefined ? undefined : this.#byName.get(name);
    return id !== undefined && this.#arrivals.hear(id);
  }

  get areAnyAwaited(): boolean {
    return this.#arrivals.areAnyAwaited;
  }

  restMs(): number | undefined {
    const nowMs = this.#clock.steadyMs();
    const rests = [this.#arrivals.restMs(nowMs) ?? Number.POSITIVE_INFINITY, ...[...this.#vacated.values()].map((untilMs) => Math.max(0, untilMs - nowMs))];
    const restMs = Math.min(...rests);
    return Number.isFinite(restMs) ? restMs : undefined;
  }

  linksChanged({ links, addresses, lostIpv4 }: LinkChange): void {
    for (const name of links) {
      this.#kernel.routes.deviceChanged(name);
      this.#kernel.neighbours.deviceChanged(name);
      this.#kernel.limits.linkChanged(name);
      this.#touch(name);
    }
    for (const name of addresses) this.#touch(name);
    for (const name of lostIpv4) this.#kernel.routes.doubtDevice(name);
  }

  settingsChanged(change: NetconfChange): boolean {
    if (change.link === 'all' && change.rpFilter !== undefined) {
      for (const name of this.#unfiltered) {
        this.#sysctls.forget(name); // another value of theirs lets everything in from now on
        this.#touch(name);
      }
      return this.#unfiltered.size > 0;
    }
    // The settings of a link are written when its event has come. What the kernel reports of a link before that, and of one that goes, is not asked about.
    const name = typeof change.link === 'number' ? this.#kernel.links.knownNameOf(change.link) : undefined;
    if (name === undefined || !this.#sysctls.note(name, change)) return false;
    this.#touch(name);
    return true;
  }

  macOfGateway(linkIndex: number, address: string): string | undefined {
    const name = this.#kernel.links.nameOf(linkIndex);
    const id = name === undefined ? undefined : this.#byName.get(name);
    return id !== undefined && this.#devices.get(id)!.ipv4Gateway === address ? this.#kernel.links.link(name!)?.mac : undefined;
  }

  obstaclesChanged(): void {
    for (const id of this.#devices.keys()) this.#dirty.add(id);
  }

  get areAnyUnfiltered(): boolean {
    return this.#unfiltered.size > 0;
  }

  apply(): DevicesReport {
    for (const name of this.#kernel.limits.takeTouched()) this.#touch(name);
    const problems = this.#settle();
    // Neighbours come before routes, so that the first routed packet finds its MAC.
    this.#noteRefusals([...this.#kernel.neighbours.apply().refusals, ...this.#kernel.routes.apply().refusals]);
    const changed = new Map<WorkloadId, DeviceState>();
    const later = new Set(problems.keys());
    for (const id of this.#dirty) {
      const awaited = this.#awaitedBy(id);
      const held = awaited.flatMap((cidr) => this.#leads.whyHeld(cidr) ?? []);
      if (awaited.length > 0) later.add(id);
      if (awaited.length > 0 && held.length === 0) continue; // the endpoint is neither up nor in error yet
      this.#report(id, this.#stateOf(id, problems.get(id) ?? held[0]), changed);
    }
    this.#dirty.clear();
    for (const id of later) this.#dirty.add(id);
    return { changed, retry: problems.size > 0 || [...this.#refused.values()].some(({ code }) => isWorthAnotherTry(code)) };
  }

  /** An endpoint that waits for one of these addresses is among the changed ones until it has all of them (`apply`). */
  release(addresses: Iterable<IpAddress>): void {
    for (const address of addresses) {
      const cidr = this.#leads.release(address);
      const name = this.#leads.interfaceOf(cidr);
      const id = name === undefined ? undefined : this.#byName.get(name);
      if (id === undefined) continue;
      for (const route of this.#programmed.get(id)!.routes.values()) if (route.destination === cidr) this.#kernel.routes.set(route);
    }
  }

  hold(addresses: Iterable<IpAddress>, reason: string): void {
    for (const address of addresses) this.#leads.hold(address, reason);
  }

  async audit(): Promise<void> {
    await Promise.all([this.#kernel.routes.audit(), this.#kernel.neighbours.audit(), this.#auditSysctls()]);
  }

  /** The kernel reports changes of a few sysctls only. The next `apply` reports those that could not be written again. */
  async #auditSysctls(): Promise<void> {
    let left = interfacesPerSlice;
    for (const [name, id] of [...this.#byName]) {
      const device = this.#devices.get(id);
      if (device?.interfaceName !== name) continue; // it went meanwhile
      this.#sysctls.doubt(name);
      if (this.#sysctls.settle(device, this.#kernel.links.link(name), this.#settings)) this.#dirty.add(id);
      left -= 1;
      if (left > 0) continue;
      left = interfacesPerSlice;
      await setImmediate();
    }
  }

  counts(): RouteCounts {
    const routes = { 4: 0, 6: 0 };
    for (const { routes: wanted } of this.#programmed.values()) for (const { destination } of wanted.values()) routes[familyOf(destination)] += 1;
    return { routes, interfaces: this.#byName.size };
  }

  #touch(name: string): void {
    const id = this.#byName.get(name);
    if (id !== undefined) this.#dirty.add(id);
  }

  #program(changes: Changes): void {
    const next = new Map([...changes].map(([id, device]) => [id, device ? wantedOf(device, this.#settings) : nothingWanted]));
    for (const [id, wanted] of next) {
      const { routes, neighbours } = this.#programmed.get(id) ?? nothingWanted;
      for (const [key, route] of routes) {
        if (route.type === 'blackhole' && !changes.get(id)) this.#vacated.set(key, this.#clock.steadyMs() + vacatedMs);
        else if (!wanted.routes.has(key) || this.#leads.isLeaving(route.destination)) this.#kernel.routes.remove(key);
      }
      for (const key of neighbours.keys()) if (!wanted.neighbours.has(key)) this.#kernel.neighbours.remove(key);
    }
    for (const [id, wanted] of next) {
      for (const [key, route] of wanted.routes) {
        this.#vacated.delete(key);
        if (!this.#leads.isLeaving(route.destination)) this.#kernel.routes.set(route);
      }
      for (const neighbour of wanted.neighbours.values()) this.#kernel.neighbours.set(neighbour);
      if (changes.get(id)) this.#programmed.set(id, wanted);
      else this.#programmed.delete(id);
      this.#dirty.add(id);
    }
  }

  #endVacancies(): void {
    const nowMs = this.#clock.steadyMs();
    for (const [key, untilMs] of this.#vacated) {
      if (untilMs > nowMs) continue;
      this.#vacated.delete(key);
      this.#kernel.routes.remove(key);
    }
  }

  /** Writes the sysctls, the host's addresses and the limits of bandwidth of the interfaces that may lack them. Returns the reason for each endpoint where that failed. */
  #settle(): ReadonlyMap<WorkloadId, string> {
    const problems = new Map<WorkloadId, string>();
    for (const id of this.#dirty) {
      const device = this.#devices.get(id);
      if (!device) continue;
      const link = this.#kernel.links.link(device.interfaceName);
      const problem =
        this.#sysctls.settle(device, link, this.#settings) ??
        this.#restoreLinkLocal(device, link) ??
        this.#peering.settle(device, link, this.#settings.ipv6) ??
        this.#kernel.limits.settle(device, link);
      if (problem) problems.set(id, problem);
    }
    this.#kernel.limits.settleRest(this.#byName, (name) => this.#kernel.links.link(name));
    return problems;
  }

  /** If the kernel refuses the address, another program may have switched IPv6 off, which the kernel does not report. The next attempt writes all sysctls of the interface again. */
  #restoreLinkLocal(device: PlacedDevice, link: Link | undefined): string | undefined {
    const refusal = restoreLinkLocal(this.#kernel.links, device, link, this.#settings.ipv6);
    if (refusal !== undefined) this.#sysctls.doubt(device.interfaceName);
    return refusal;
  }

  /** Replaces the refusals. Marks the endpoints whose refusals came or went. */
  #noteRefusals(refusals: readonly ProgrammingRefusal[]): void {
    const before = this.#refused;
    this.#refused = new Map(refusals.map((refusal) => [refusal.key, refusal]));
    if (before.size === 0 && this.#refused.size === 0) return;
    for (const [id, { routes, neighbours }] of this.#programmed)
      for (const key of [...routes.keys(), ...neighbours.keys()]) if (before.has(key) || this.#refused.has(key)) this.#dirty.add(id);
  }

  /** The addresses that are not routed yet, because their old connections have not been cut. */
  #awaitedBy(id: WorkloadId): readonly string[] {
    if (!this.#leads.areAnyLeaving) return [];
    return [...(this.#programmed.get(id) ?? nothingWanted).routes.values()].map(({ destination }) => destination).filter((cidr) => this.#leads.isLeaving(cidr));
  }

  #stateOf(id: WorkloadId, problem: string | undefined): DeviceState | undefined {
    const device = this.#devices.get(id);
    if (!device) return undefined;
    const link = this.#kernel.links.link(device.interfaceName);
    if (!link?.running) return { status: 'down' };
    const captor = captorOf(link, this.#kernel.links);
    if (captor) return { status: 'error', reason: captor };
    if (problem) return { status: 'error', reason: problem };
    if (device.refused) return { status: 'error', reason: device.refused };
    const { routes, neighbours } = this.#programmed.get(id)!;
    for (const key of [...routes.keys(), ...neighbours.keys()]) {
      const why = this.#refused.get(key);
      if (why) return { status: 'error', reason: `${key}: ${[why.code, why.errno, why.detail].filter(Boolean).join(' ')}` };
    }
    const speaksIpv6 = this.#settings.ipv6 && device.routes.some((cidr) => familyOf(cidr) === 6);
    const obstacle = this.#kernel.obstacleOf(device.interfaceName, speaksIpv6);
    if (obstacle) return { status: 'error', reason: obstacle };
    return { status: 'up' };
  }

  /** Adds the state to `changed` if it differs from the last reported one. @param state undefined when the endpoint is gone */
  #report(id: WorkloadId, state: DeviceState | undefined, changed: Map<WorkloadId, DeviceState>): void {
    const text = state && JSON.stringify(state);
    if (text === this.#states.get(id)) return;
    if (state) {
      this.#states.set(id, text!);
      changed.set(id, state);
    } else this.#states.delete(id);
  }
}

/** How many interfaces' sysctls are compared before the rest of the program runs. */
const interfacesPerSlice = 32;

/** Why no packet of an interface reaches this host's routes and rules; undefined when they do. An old L2 agent may have made the interface a port of its bridge. */
function captorOf({ masterIndex }: Link, links: DeviceKernel['links']): string | undefined {
  if (masterIndex === undefined) return undefined;
  const name = links.nameOf(masterIndex);
  const kind = (name === undefined ? undefined : links.link(name)?.kind) ?? 'link';
  return `is a port of ${kind} ${name ?? masterIndex}, which takes its packets: stop the agent that made it so, and take it out (ip link set … nomaster)`;
}

/**
 * For how long the blackholes of a workload stay when its endpoint has gone. BGP has brought the route to the new host by then. Where a host gets no routes to single workloads but a default
 * route, a longer time would keep its own guests from the workload.
 */
const vacatedMs = 1000;

/** Whether a retry after a pause can succeed. An object that waits for its link is retried when the link appears or goes up. */
function isWorthAnotherTry(code: ProgrammingRefusal['code']): boolean {
  switch (code) {
    case 'DEVICE_GONE':
    case 'DEVICE_DOWN':
      return false;
    case 'OCCUPIED':
    case 'REFUSED':
      return true;
    default:
      return code satisfies never;
  }
}
