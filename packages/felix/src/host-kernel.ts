// Opens all parts of this host's kernel that the agent uses, and switches settings on that it needs.

import { type Cidr, isHostCidr, parseCidr } from '@calico-openstack/addresses';
import type { Logger } from '@calico-openstack/agent';
import {
  type Conntrack,
  createNeighbourProgrammer,
  createRouteProgrammer,
  createShaper,
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
  openQdiscs,
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
import { openAnnouncements } from './devices/announcements.ts';
import { BandwidthLimits, shaperRights } from './devices/shaping.ts';
import type { DeviceKernel, EarlierRun } from './devices.ts';
import { needing } from './kernel-needs.ts';
import type { FelixConfig } from './option-table.ts';

/** The open kernel. */
export interface HostKernel {
  readonly links: Links & LinkEditor;
  readonly hostAddresses: HostAddresses;
  readonly tables: Readonly<Record<TableName, OpenTable>>;
  readonly conntrack: Conntrack;
  /** The value that `net.ipv4.conf.default.rp_filter` had at the start. */
  readonly defaultRpFilter: string;
  /** Sets what is called when another program has changed a route or neighbour of ours, so that there is something to apply. */
  onDrift(listener: () => void): void;
  /** Adds what is called when another program has changed the ruleset, of which our tables may be a part. */
  onForeignRules(listener: () => void): void;
  /** Switches forwarding on for each family for which the settings have begun to want it. It is never switched off, because others may need it. */
  forward(config: FelixConfig): void;
  /**
   * Opens routes and neighbours.
   * @param config returns the settings in force, and is called for each decision
   */
  openDevices(config: () => FelixConfig): { readonly kernel: DeviceKernel; readonly earlier: EarlierRun };
  /**
   * Calls back with the index of each link on which a guest shows that it runs here, until closed (devices/announcements.ts).
   * @throws NetlinkError without CAP_NET_RAW
   */
  hearGuests(onHeard: (linkIndex: number) => void): { close(): void };
  close(): void;
}

/** RTPROT 80, which Calico's agents give to routes of workloads, besides `DeviceRouteProtocol` 3. */
const calicoRouteProtocol = 80;

const forwardingSysctl = { 4: ['net', 'ipv4', 'ip_forward'], 6: ['net', 'ipv6', 'conf', 'all', 'forwarding'] } as const;

/**
 * Opens the kernel of this process's network namespace.
 * @throws StartError with the remedy when the kernel lacks or refuses what the agent needs
 */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: it opens one thing after the other, and decides nothing
export function openHostKernel(log: Logger, config: () => FelixConfig): HostKernel {
  const links = needing('links', () =>
    openLinks({ onTrouble: (error: unknown) => log.warn({ err: error }, 'events about links were lost or could not be read; all links are read again') }),
  );
  const hostAddresses = needing('links', () =>
    openHostAddresses(links, {
      onTrouble: (error: unknown) =>
        log.warn({ err: error }, 'cannot read the next hops of the host’s routes; the known ones stay reserved, and this is retried'),
      leavesOut: (device) => shaperRights.isOurIfb(device) || config().InterfacePrefix.some((prefix) => device.startsWith(prefix)),
    }),
  );
  const owned = config().NftablesTableOwnership === 'Owned';
  const tables = needing('nftables', () => {
    const open = { inet: openTable('inet', tableName, undefined, { owned }), arp: openTable('arp', tableName, undefined, { owned }) };
    open.inet.exists(); // so that a kernel without nftables, or a process without the right to it, is reported now
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
    defaultRpFilter: readSysctl(['net', 'ipv4', 'conf', 'default', 'rp_filter']) ?? '1', // upstream's assumption where it cannot be read
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
        // The protocol counts on workload interfaces only, because many programs use 3 ("boot").
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
      const shaper = createShaper(openQdiscs(), links, shaperRights);
      closing.unshift(
        () => shaper.close(),
        () => routes.close(),
        () => neighbours.close(),
      );
      /** The interfaces that addresses led to in an earlier run, according to its routes or upstream's, and to our table. */
      const led = new Map<Cidr, string>();
      const elevated = new Set<string>();
      for (const route of table.read()) {
        const device = route.deviceIndex === undefined ? undefined : links.nameOf(route.deviceIndex);
        const cidr = parseCidr(route.destination);
        if (!cidr || !device || !isHostCidr(cidr) || route.protocol === routeProtocol.bird || !ownsRoute(route, device)) continue;
        led.set(cidr, device);
        if (route.protocol === settings().DeviceRouteProtocol && route.metric === elevatedMetric(settings())[route.family]) elevated.add(device);
      }
      for (const [cidr, device] of earlierAddresses(tables.inet.elementsOf)) led.set(cidr, device);
      return { kernel: { links, routes, neighbours, writeSysctl, bgpInterfaces, limits: new BandwidthLimits(shaper, onDrift) }, earlier: { led, elevated } };
    },
    hearGuests: openAnnouncements,
    close() {
      for (const close of closing) close();
    },
  };
}

/** The metrics of routes to workloads that have just arrived by live migration. */
export const elevatedMetric = (config: Pick<FelixConfig, 'IPv4ElevatedRoutePriority' | 'IPv6ElevatedRoutePriority'>): Readonly<Record<4 | 6, number>> => ({
  4: config.IPv4ElevatedRoutePriority,
  6: config.IPv6ElevatedRoutePriority,
});

function switchOn(path: readonly string[], log: Logger): void {
  const sysctl = path.join('/');
  try {
    if (writeSysctl(path, '1') === 'absent')
      log.warn({ sysctl }, 'this kernel does not have the sysctl, so what it would switch on stays off; load the kernel module that has it');
  } catch (error) {
    log.warn({ sysctl, err: error }, 'cannot set the sysctl to 1, so what it would switch on stays off; set it on this host');
  }
}
