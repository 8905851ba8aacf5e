// The interfaces of this host's workloads: routes, neighbours and sysctls as wanted, and whether all of it is in the kernel.

import { addressOf, type Cidr, familyOf, hostCidr, type IpAddress, isHostCidr, type WorkloadId } from '@calico-openstack/datamodel';
import {
  deviceRoute,
  type Links,
  type Neighbour,
  neighbourKey,
  type Programmer,
  type ProgrammingRefusal,
  type Route,
  routeKey,
  type writeSysctl,
} from '@calico-openstack/kernel';
import type { WorkloadDevice } from '@calico-openstack/render';

export type DeviceSettings = {
  readonly routeProtocol: number;
  readonly metric: Readonly<Record<4 | 6, number>>;
  readonly ipv6: boolean;
  /** What `net.ipv4.conf.default.rp_filter` was at the start: interfaces get it unless they may send from prefixes. */
  readonly rpFilter: string;
};

export type DeviceKernel = {
  readonly links: Pick<Links, 'link' | 'nameOf'>;
  readonly routes: Programmer<Route>;
  readonly neighbours: Programmer<Neighbour>;
  readonly writeSysctl: typeof writeSysctl;
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

type Programmed = { readonly routes: ReadonlyMap<string, Route>; readonly neighbours: ReadonlyMap<string, Neighbour> };
const nothing: Programmed = { routes: new Map(), neighbours: new Map() };

/** @param earlier the interfaces that single addresses led to in an earlier run, as far as something still tells */
export function createDevices(kernel: DeviceKernel, initial: DeviceSettings, earlier: ReadonlyMap<Cidr, string>): Devices {
  let settings = initial;
  const devices = new Map<WorkloadId, WorkloadDevice>();
  const programmed = new Map<WorkloadId, Programmed>();
  const byName = new Map<string, WorkloadId>();
  /** The epoch of the link under which the sysctls of an interface were written. */
  const settled = new Map<string, number>();
  const states = new Map<WorkloadId, string>();
  const dirty = new Set<WorkloadId>();
  /** The interface that each single address leads to. */
  const leads = new Map<Cidr, string>();
  /** Addresses that have left, until they are released; with the reason why that takes long. */
  const leaving = new Map<Cidr, string | undefined>();
  let first = true;
  /** By key, the routes and neighbours that the kernel does not hold as wanted. */
  let refused = new Map<string, ProgrammingRefusal>();

  function wantedOf(device: WorkloadDevice): Programmed {
    const { interfaceName: name } = device;
    const supported = (address: string): boolean => settings.ipv6 || !address.includes(':');
    const routes = device.routes
      .filter(supported)
      .map((destination) => deviceRoute({ destination, device: name, metric: settings.metric[familyOf(destination)], protocol: settings.routeProtocol }));
    const permanent = device.neighbours
      .filter(({ address }) => supported(address))
      .map(({ address, mac }): Neighbour => ({ kind: 'permanent', device: name, address, mac }));
    const proxies = device.proxyNeighbours.filter(supported).map((address): Neighbour => ({ kind: 'proxy', device: name, address }));
    return {
      routes: new Map(routes.map((route) => [routeKey(route), route])),
      neighbours: new Map([...permanent, ...proxies].map((neighbour) => [neighbourKey(neighbour), neighbour])),
    };
  }

  /** Notes where addresses lead after the changes, all that goes before all that comes. Returns those that led elsewhere before. */
  function lead(changes: ReadonlyMap<WorkloadId, WorkloadDevice | undefined>): IpAddress[] {
    /** Where they led before, of those that are touched. */
    const led = new Map<Cidr, string | undefined>(first ? earlier : []);
    first = false;
    const touch = ({ routes, interfaceName }: WorkloadDevice, toIt: boolean): void => {
      for (const cidr of routes) {
        if (!isHostCidr(cidr)) continue;
        if (!led.has(cidr)) led.set(cidr, leads.get(cidr));
        if (toIt) leads.set(cidr, interfaceName);
        else if (leads.get(cidr) === interfaceName) leads.delete(cidr);
      }
    };
    for (const id of changes.keys()) if (devices.has(id)) touch(devices.get(id)!, false);
    for (const device of changes.values()) if (device) touch(device, true);
    const left = [...led].filter(([cidr, before]) => before !== undefined && before !== leads.get(cidr)).map(([cidr]) => cidr);
    for (const cidr of left) leaving.set(cidr, undefined);
    return left.map(addressOf);
  }

  const isLeaving = ({ destination }: Route): boolean => leaving.has(destination as Cidr);

  function program(changes: ReadonlyMap<WorkloadId, WorkloadDevice | undefined>): void {
    const next = new Map([...changes].map(([id, device]) => [id, device ? wantedOf(device) : nothing]));
    for (const [id, wanted] of next) {
      const { routes, neighbours } = programmed.get(id) ?? nothing;
      for (const [key, route] of routes) if (!wanted.routes.has(key) || isLeaving(route)) kernel.routes.remove(key);
      for (const key of neighbours.keys()) if (!wanted.neighbours.has(key)) kernel.neighbours.remove(key);
    }
    for (const [id, { routes, neighbours }] of next) {
      for (const route of routes.values()) if (!isLeaving(route)) kernel.routes.set(route);
      for (const neighbour of neighbours.values()) kernel.neighbours.set(neighbour);
      if (changes.get(id)) programmed.set(id, next.get(id)!);
      else programmed.delete(id);
      dirty.add(id);
    }
  }

  /** The addresses whose routes are not there yet, since connections of theirs are still to be cut. */
  const awaited = (id: WorkloadId): Cidr[] =>
    leaving.size === 0 ? [] : [...(programmed.get(id) ?? nothing).routes.values()].filter(isLeaving).map(({ destination }) => destination as Cidr);

  return {
    update(changes) {
      const left = lead(changes);
      for (const id of changes.keys()) {
        const before = devices.get(id);
        if (before && byName.get(before.interfaceName) === id) byName.delete(before.interfaceName);
      }
      for (const [id, device] of changes) {
        if (device) {
          devices.set(id, device);
          byName.set(device.interfaceName, id);
          settled.delete(device.interfaceName);
        } else devices.delete(id);
      }
      program(changes);
      return left;
    },
    setSettings(next) {
      settings = next;
      settled.clear();
      program(devices);
    },
    linksChanged(names) {
      for (const name of names) {
        kernel.routes.deviceChanged(name);
        kernel.neighbours.deviceChanged(name);
        const id = byName.get(name);
        if (id !== undefined) dirty.add(id);
      }
    },
    apply() {
      const problems = new Map<WorkloadId, string>();
      for (const id of dirty) {
        const device = devices.get(id);
        const problem = device && settle(device);
        if (problem) problems.set(id, problem);
      }
      // Neighbours before routes: the first packet then finds its MAC.
      const reports = [kernel.neighbours.apply(), kernel.routes.apply()];
      const before = refused;
      refused = new Map(reports.flatMap(({ refusals }) => refusals.map((refusal) => [refusal.key, refusal])));
      // Whose refusals came or went must be looked at, dirty or not.
      if (before.size > 0 || refused.size > 0)
        for (const [id, { routes, neighbours }] of programmed)
          for (const key of [...routes.keys(), ...neighbours.keys()]) if (before.has(key) || refused.has(key)) dirty.add(id);
      const changed = new Map<WorkloadId, DeviceState>();
      const later = new Set(problems.keys());
      for (const id of dirty) {
        const waitsFor = awaited(id);
        const held = waitsFor.flatMap((cidr) => leaving.get(cidr) ?? []);
        if (waitsFor.length > 0) later.add(id);
        if (waitsFor.length > 0 && held.length === 0) continue;
        const state = stateOf(id, problems.get(id) ?? held[0]);
        const text = state && JSON.stringify(state);
        if (text === states.get(id)) continue;
        if (state) {
          states.set(id, text!);
          changed.set(id, state);
        } else states.delete(id);
      }
      dirty.clear();
      for (const id of later) dirty.add(id);
      return { changed, retry: problems.size > 0 || [...refused.values()].some(({ code }) => isWorthAnotherTry(code)) };
    },
    release(addresses) {
      for (const address of addresses) {
        const cidr = hostCidr(address);
        leaving.delete(cidr);
        const name = leads.get(cidr);
        const id = name === undefined ? undefined : byName.get(name);
        if (id === undefined) continue;
        for (const route of programmed.get(id)!.routes.values()) if (route.destination === cidr) kernel.routes.set(route);
        dirty.add(id);
      }
    },
    hold(addresses, reason) {
      for (const cidr of [...addresses].map(hostCidr)) if (leaving.has(cidr)) leaving.set(cidr, `no route to ${addressOf(cidr)}: ${reason}`);
    },
    async audit() {
      await Promise.all([kernel.routes.audit(), kernel.neighbours.audit()]);
    },
  };

  /** Writes the sysctls of an interface that is there, once for each of its lives. Returns what could not be written. */
  function settle(device: WorkloadDevice): string | undefined {
    const { interfaceName: name } = device;
    const link = kernel.links.link(name);
    if (!link) {
      settled.delete(name);
      return undefined;
    }
    if (settled.get(name) === link.epoch) return undefined;
    const failed = sysctlsOf(device, settings).filter(({ path, value, needed }) => {
      try {
        return kernel.writeSysctl(path, value) === 'absent' && needed;
      } catch {
        return needed;
      }
    });
    if (failed.length > 0) return `cannot write ${failed.map(({ path }) => path.join('/')).join(', ')}`;
    settled.set(name, link.epoch);
    return undefined;
  }

  function stateOf(id: WorkloadId, problem: string | undefined): DeviceState | undefined {
    const device = devices.get(id);
    if (!device) return undefined;
    if (!kernel.links.link(device.interfaceName)?.running) return { status: 'down' };
    if (problem) return { status: 'error', reason: problem };
    if (device.refused) return { status: 'error', reason: device.refused };
    const { routes, neighbours } = programmed.get(id)!;
    for (const key of [...routes.keys(), ...neighbours.keys()]) {
      const why = refused.get(key);
      if (why) return { status: 'error', reason: `${key}: ${[why.code, why.errno, why.detail].filter(Boolean).join(' ')}` };
    }
    return { status: 'up' };
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

type Sysctl = { readonly path: readonly string[]; readonly value: string /** Without it the workload's traffic does not work. */; readonly needed: boolean };

/** peer/felix.md 6.2 */
function sysctlsOf({ interfaceName: name, spoofing }: WorkloadDevice, { ipv6, rpFilter }: DeviceSettings): readonly Sysctl[] {
  const v4 = (setting: string, value: string): Sysctl => ({ path: ['net', 'ipv4', 'conf', name, setting], value, needed: true });
  const v6 = (setting: string, value: string, needed: boolean): Sysctl => ({ path: ['net', 'ipv6', 'conf', name, setting], value, needed });
  return [
    v6('accept_ra', '0', false),
    v6('accept_dad', '0', false), // nobody else is on a tap; without it the host's own address there is of no use to DHCPv6 for two seconds
    v4('route_localnet', '1'), // metadata at 127.0.0.1 is reached through NAT
    { path: ['net', 'ipv4', 'neigh', name, 'proxy_delay'], value: '0', needed: false },
    v4('proxy_arp', '1'),
    v4('forwarding', '1'),
    v4('rp_filter', spoofing ? '0' : rpFilter), // the rules do the work
    ...(ipv6 ? [v6('proxy_ndp', '1', true), v6('forwarding', '1', true)] : []),
  ];
}
