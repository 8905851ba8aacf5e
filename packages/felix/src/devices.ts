// The interfaces of this host's workloads: routes, neighbours and sysctls as wanted, and whether all of it is in the kernel.
import type { Cidr, IpAddress } from '@calico-openstack/addresses';
import type { WorkloadId } from '@calico-openstack/datamodel';
import type { Links, Neighbour, Programmer, ProgrammingRefusal, Route, writeSysctl } from '@calico-openstack/kernel';
import type { WorkloadDevice } from '@calico-openstack/render';
import { AddressLeads } from './devices/leads.ts';
import { PeeringAddresses, type PeeringLinks } from './devices/peering.ts';
import { InterfaceSysctls, type SysctlSettings } from './devices/sysctls.ts';
import { nothingWanted, type RoutingSettings, type WantedObjects, wantedOf } from './devices/wanted.ts';

export type DeviceSettings = RoutingSettings & SysctlSettings;

export type DeviceKernel = {
  readonly links: Pick<Links, 'link' | 'nameOf'> & PeeringLinks;
  readonly routes: Programmer<Route>;
  readonly neighbours: Programmer<Neighbour>;
  readonly writeSysctl: typeof writeSysctl;
  /** The interfaces whose routes by BIRD are left to BIRD. Kept current here, asked where it is decided which routes are Felix's. */
  readonly bgpInterfaces: Set<string>;
};

/** What an endpoint's interface is like. `error`: it is there, and something of it could not be programmed. */
export type DeviceState = { readonly status: 'up' | 'down' } | { readonly status: 'error'; readonly reason: string };

export type DevicesReport = {
  readonly changed: ReadonlyMap<WorkloadId, DeviceState>;
  readonly retry: boolean;
};

export interface Devices {
  /**
   * What the renderer says now. All that goes goes before what comes. Returns the single addresses that no longer lead where they led: connections with them must not go
   * on there, and until they are released, when those are cut, no route leads to them.
   */
  update(changes: ReadonlyMap<WorkloadId, WorkloadDevice | undefined>): readonly IpAddress[];
  setSettings(settings: DeviceSettings): void;
  /** Names of links that changed. */
  linksChanged(names: Iterable<string>): void;
  /** Makes the kernel's so. Returns the endpoints whose state may have changed, and whether something was refused that is worth another try. */
  apply(): DevicesReport;
  /** The connections of these addresses, which had left, are cut: the next `apply` lets routes lead to them again. */
  release(addresses: Iterable<IpAddress>): void;
  /** The connections of these addresses cannot be cut, and why; it is tried again. Whoever has one of them is told at the next `apply`. */
  hold(addresses: Iterable<IpAddress>, reason: string): void;
  /** Compares everything with the kernel, in slices; what differs is drift. */
  audit(): Promise<void>;
}

/** @param earlier the interfaces that single addresses led to in an earlier run, as far as something still tells */
export function createDevices(kernel: DeviceKernel, initial: DeviceSettings, earlier: ReadonlyMap<Cidr, string>): Devices {
  return new WorkloadDevices(kernel, initial, earlier);
}

type Changes = ReadonlyMap<WorkloadId, WorkloadDevice | undefined>;

class WorkloadDevices implements Devices {
  readonly #kernel: DeviceKernel;
  #settings: DeviceSettings;
  readonly #leads: AddressLeads;
  readonly #sysctls: InterfaceSysctls;
  readonly #peering: PeeringAddresses;
  readonly #devices = new Map<WorkloadId, WorkloadDevice>();
  readonly #byName = new Map<string, WorkloadId>();
  /** What each wants of the kernel, but for routes of addresses that are leaving. */
  readonly #programmed = new Map<WorkloadId, WantedObjects>();
  /** Whose state may be another than was last reported. */
  readonly #dirty = new Set<WorkloadId>();
  /** As reported last, as text. */
  readonly #states = new Map<WorkloadId, string>();
  /** By key, the routes and neighbours that the kernel does not hold as wanted. */
  #refused: ReadonlyMap<string, ProgrammingRefusal> = new Map();

  constructor(kernel: DeviceKernel, settings: DeviceSettings, earlier: ReadonlyMap<Cidr, string>) {
    this.#kernel = kernel;
    this.#settings = settings;
    this.#leads = new AddressLeads(earlier);
    this.#sysctls = new InterfaceSysctls(kernel.writeSysctl);
    this.#peering = new PeeringAddresses(kernel.links);
  }

  update(changes: Changes): readonly IpAddress[] {
    const going = [...changes.keys()].flatMap((id) => this.#devices.get(id) ?? []);
    const coming = [...changes.values()].flatMap((device) => device ?? []);
    const left = this.#leads.change(going, coming);
    for (const id of changes.keys()) {
      const before = this.#devices.get(id);
      if (!before || this.#byName.get(before.interfaceName) !== id) continue;
      this.#byName.delete(before.interfaceName);
      this.#kernel.bgpInterfaces.delete(before.interfaceName);
    }
    for (const [id, device] of changes) {
      if (device) {
        this.#devices.set(id, device);
        this.#byName.set(device.interfaceName, id);
        this.#sysctls.forget(device.interfaceName);
        this.#peering.forget(device.interfaceName);
        if (device.peeringAddresses.length > 0) this.#kernel.bgpInterfaces.add(device.interfaceName);
      } else this.#devices.delete(id);
    }
    this.#program(changes);
    return left;
  }

  setSettings(settings: DeviceSettings): void {
    this.#settings = settings;
    this.#sysctls.forget();
    this.#peering.forget();
    this.#program(this.#devices);
  }

  linksChanged(names: Iterable<string>): void {
    for (const name of names) {
      this.#kernel.routes.deviceChanged(name);
      this.#kernel.neighbours.deviceChanged(name);
      const id = this.#byName.get(name);
      if (id !== undefined) this.#dirty.add(id);
    }
  }

  apply(): DevicesReport {
    const problems = this.#settle();
    // Neighbours before routes: the first packet then finds its MAC.
    this.#noteRefusals([...this.#kernel.neighbours.apply().refusals, ...this.#kernel.routes.apply().refusals]);
    const changed = new Map<WorkloadId, DeviceState>();
    const later = new Set(problems.keys());
    for (const id of this.#dirty) {
      const awaited = this.#awaitedBy(id);
      const held = awaited.flatMap((cidr) => this.#leads.whyHeld(cidr) ?? []);
      if (awaited.length > 0) later.add(id);
      if (awaited.length > 0 && held.length === 0) continue; // it is neither up nor in error
      this.#report(id, this.#stateOf(id, problems.get(id) ?? held[0]), changed);
    }
    this.#dirty.clear();
    for (const id of later) this.#dirty.add(id);
    return { changed, retry: problems.size > 0 || [...this.#refused.values()].some(({ code }) => isWorthAnotherTry(code)) };
  }

  release(addresses: Iterable<IpAddress>): void {
    for (const address of addresses) {
      const cidr = this.#leads.release(address);
      const name = this.#leads.interfaceOf(cidr);
      const id = name === undefined ? undefined : this.#byName.get(name);
      if (id === undefined) continue;
      for (const route of this.#programmed.get(id)!.routes.values()) if (route.destination === cidr) this.#kernel.routes.set(route);
      this.#dirty.add(id);
    }
  }

  hold(addresses: Iterable<IpAddress>, reason: string): void {
    for (const address of addresses) this.#leads.hold(address, reason);
  }

  async audit(): Promise<void> {
    await Promise.all([this.#kernel.routes.audit(), this.#kernel.neighbours.audit()]);
  }

  #program(changes: Changes): void {
    const next = new Map([...changes].map(([id, device]) => [id, device ? wantedOf(device, this.#settings) : nothingWanted]));
    for (const [id, wanted] of next) {
      const { routes, neighbours } = this.#programmed.get(id) ?? nothingWanted;
      for (const [key, route] of routes) if (!wanted.routes.has(key) || this.#leads.isLeaving(route.destination)) this.#kernel.routes.remove(key);
      for (const key of neighbours.keys()) if (!wanted.neighbours.has(key)) this.#kernel.neighbours.remove(key);
    }
    for (const [id, wanted] of next) {
      for (const route of wanted.routes.values()) if (!this.#leads.isLeaving(route.destination)) this.#kernel.routes.set(route);
      for (const neighbour of wanted.neighbours.values()) this.#kernel.neighbours.set(neighbour);
      if (changes.get(id)) this.#programmed.set(id, wanted);
      else this.#programmed.delete(id);
      this.#dirty.add(id);
    }
  }

  /** Writes the sysctls and adds the addresses of the interfaces that may need it. Returns what could not be done. */
  #settle(): ReadonlyMap<WorkloadId, string> {
    const problems = new Map<WorkloadId, string>();
    for (const id of this.#dirty) {
      const device = this.#devices.get(id);
      if (!device) continue;
      const link = this.#kernel.links.link(device.interfaceName);
      const problem = this.#sysctls.settle(device, link, this.#settings) ?? this.#peering.settle(device, link, this.#settings.ipv6);
      if (problem) problems.set(id, problem);
    }
    return problems;
  }

  /** Whose refusals came or went must be looked at, dirty or not. */
  #noteRefusals(refusals: readonly ProgrammingRefusal[]): void {
    const before = this.#refused;
    this.#refused = new Map(refusals.map((refusal) => [refusal.key, refusal]));
    if (before.size === 0 && this.#refused.size === 0) return;
    for (const [id, { routes, neighbours }] of this.#programmed)
      for (const key of [...routes.keys(), ...neighbours.keys()]) if (before.has(key) || this.#refused.has(key)) this.#dirty.add(id);
  }

  /** The addresses whose routes are not there yet, since connections of theirs are still to be cut. */
  #awaitedBy(id: WorkloadId): readonly string[] {
    if (!this.#leads.areAnyLeaving) return [];
    return [...(this.#programmed.get(id) ?? nothingWanted).routes.values()].map(({ destination }) => destination).filter((cidr) => this.#leads.isLeaving(cidr));
  }

  #stateOf(id: WorkloadId, problem: string | undefined): DeviceState | undefined {
    const device = this.#devices.get(id);
    if (!device) return undefined;
    if (!this.#kernel.links.link(device.interfaceName)?.running) return { status: 'down' };
    if (problem) return { status: 'error', reason: problem };
    if (device.refused) return { status: 'error', reason: device.refused };
    const { routes, neighbours } = this.#programmed.get(id)!;
    for (const key of [...routes.keys(), ...neighbours.keys()]) {
      const why = this.#refused.get(key);
      if (why) return { status: 'error', reason: `${key}: ${[why.code, why.errno, why.detail].filter(Boolean).join(' ')}` };
    }
    return { status: 'up' };
  }

  /** Adds the state to `changed` where it is another than was reported last. @param state undefined: the endpoint is gone */
  #report(id: WorkloadId, state: DeviceState | undefined, changed: Map<WorkloadId, DeviceState>): void {
    const text = state && JSON.stringify(state);
    if (text === this.#states.get(id)) return;
    if (state) {
      this.#states.set(id, text!);
      changed.set(id, state);
    } else this.#states.delete(id);
  }
}

/** What waits for its link is tried when that comes or goes up, not after a pause. */
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
