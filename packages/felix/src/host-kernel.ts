// Everything of this host's kernel that the agent holds open, and what it switches on once.

import { type Cidr, isHostCidr, parseCidr } from '@calico-openstack/addresses';
import type { Logger } from '@calico-openstack/agent';
import {
  type Conntrack,
  createNeighbourProgrammer,
  createRouteProgrammer,
  type HostAddresses,
  type KernelRoute,
  type LinkEditor,
  type Links,
  type OpenTable,
  openConntrack,
  openHostAddresses,
  openLinks,
  openMonitor,
  openNeighbours,
  openRoutes,
  openTable,
  ownsNeighbours,
  ownsRoutes,
  readSysctl,
  routeProtocol,
  watchRuleset,
  writeSysctl,
} from '@calico-openstack/kernel';
import { earlierAddresses, type TableName, tableName } from '@calico-openstack/render';
import type { DeviceKernel } from './devices.ts';
import { needing } from './kernel-needs.ts';
import type { FelixConfig } from './option-table.ts';

export interface HostKernel {
  readonly links: Links & LinkEditor;
  readonly hostAddresses: HostAddresses;
  readonly tables: Readonly<Record<TableName, OpenTable>>;
  readonly conntrack: Conntrack;
  /** `net.ipv4.conf.default.rp_filter` as it was at the start. */
  readonly defaultRpFilter: string;
  /** Somebody else changed a route or neighbour of ours: there is something to apply. */
  onDrift(listener: () => void): void;
  /** Somebody else changed the ruleset: perhaps our tables. */
  onForeignRules(listener: () => void): void;
  /** Lets the host forward, where the settings have begun to want it. Never forbids it: others may need it too. */
  forward(config: FelixConfig): void;
  /** @param config the settings in force, asked each time */
  openDevices(config: () => FelixConfig): { readonly kernel: DeviceKernel; readonly earlier: ReadonlyMap<Cidr, string> };
  close(): void;
}

/** RTPROT 80: what Calico's agents have marked routes of workloads with, before and beside `DeviceRouteProtocol` 3. */
const calicoRouteProtocol = 80;

const forwardingSysctl = { 4: ['net', 'ipv4', 'ip_forward'], 6: ['net', 'ipv6', 'conf', 'all', 'forwarding'] } as const;

/**
 * In this process's network namespace. Longer than 80 lines: it opens one thing after the other, and decides nothing.
 * @throws StartError with the remedy where the kernel lacks what the agent needs, or refuses it
 */
export function openHostKernel(log: Logger, config: () => FelixConfig): HostKernel {
  const links = needing('links', () => openLinks({ onTrouble: (error: unknown) => log.warn({ err: error }, 'links: read again') }));
  const hostAddresses = needing('links', () =>
    openHostAddresses(links, {
      onTrouble: (error: unknown) => log.warn({ err: error }, 'cannot read the routes for their next hops: those that are known stay, and it is tried again'),
      leavesOut: (device) => config().InterfacePrefix.some((prefix) => device.startsWith(prefix)),
    }),
  );
  const owned = config().NftablesTableOwnership === 'Owned';
  const tables = needing('nftables', () => {
    const open = { inet: openTable('inet', tableName, undefined, { owned }), arp: openTable('arp', tableName, undefined, { owned }) };
    open.inet.exists(); // asked, so that a kernel without nftables, or without the right to it, is told now
    return open;
  });
  const conntrack = needing('conntrack', () => {
    const open = openConntrack();
    open.count();
    return open;
  });
  switchOn(['net', 'netfilter', 'nf_conntrack_acct'], log);
  const monitor = needing('nftables', () => openMonitor());
  const closing: (() => void)[] = [
    () => hostAddresses.close(),
    () => links.close(),
    () => tables.inet.close(),
    () => tables.arp.close(),
    () => conntrack.close(),
    () => monitor.close(),
  ];
  let drifted = (): void => undefined;
  let forwarded = new Set<4 | 6>();
  return {
    links,
    hostAddresses,
    tables,
    conntrack,
    defaultRpFilter: readSysctl(['net', 'ipv4', 'conf', 'default', 'rp_filter']) ?? '1', // as upstream assumes where it cannot be read
    onDrift(listener) {
      drifted = listener;
    },
    onForeignRules(listener) {
      const ports = (): (number | undefined)[] => [tables.inet.portId(), tables.arp.portId()];
      const subscription = watchRuleset(monitor, ports, listener);
      closing.push(() => subscription.close());
    },
    forward({ IPForwarding, Ipv6Support }) {
      const wanted = new Set(([4, 6] as const).filter((family) => IPForwarding === 'Enabled' && (family === 4 || Ipv6Support)));
      for (const family of wanted) if (!forwarded.has(family)) switchOn(forwardingSysctl[family], log);
      forwarded = wanted;
    },
    openDevices(settings) {
      const onDrift = (): void => drifted();
      const bgpInterfaces = new Set<string>();
      const ownsRoute = (route: KernelRoute, device: string | undefined): boolean => {
        const { InterfacePrefix: devicePrefixes, RemoveExternalRoutes, DeviceRouteProtocol } = settings();
        if (route.protocol === routeProtocol.bird && device !== undefined && bgpInterfaces.has(device)) return false;
        // By protocol on workload interfaces only: 3 ("boot") is everybody's number.
        return ownsRoutes({ devicePrefixes })(route, device) && (RemoveExternalRoutes || [DeviceRouteProtocol, calicoRouteProtocol].includes(route.protocol));
      };
      const table = openRoutes();
      const routes = createRouteProgrammer({ table, devices: links, owns: ownsRoute, onDrift });
      const neighbours = createNeighbourProgrammer({
        table: openNeighbours(),
        devices: links,
        owns: (neighbour, device) => ownsNeighbours({ devicePrefixes: settings().InterfacePrefix })(neighbour, device),
        onDrift,
      });
      closing.unshift(
        () => routes.close(),
        () => neighbours.close(),
      );
      /** Where addresses led in an earlier run: by its routes, or upstream's, and by what our table still says. */
      const earlier = new Map<Cidr, string>();
      for (const route of table.read()) {
        const device = route.deviceIndex === undefined ? undefined : links.nameOf(route.deviceIndex);
        const cidr = parseCidr(route.destination);
        if (cidr && device && isHostCidr(cidr) && route.protocol !== routeProtocol.bird && ownsRoute(route, device)) earlier.set(cidr, device);
      }
      for (const [cidr, device] of earlierAddresses(tables.inet.elementsOf)) earlier.set(cidr, device);
      return { kernel: { links, routes, neighbours, writeSysctl, bgpInterfaces }, earlier };
    },
    close() {
      for (const close of closing) close();
    },
  };
}

function switchOn(path: readonly string[], log: Logger): void {
  const sysctl = path.join('/');
  try {
    if (writeSysctl(path, '1') === 'absent') log.warn({ sysctl }, 'this kernel has no such setting');
  } catch (error) {
    log.warn({ sysctl, err: error }, 'cannot switch it on');
  }
}
