// Opens all parts of this host's kernel that the agent uses, and switches on the settings that it needs.

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
  type NetconfChange,
  type OpenTable,
  type OtherChains,
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
  readOtherChains,
  readSysctl,
  routeProtocol,
  watchNetconf,
  watchRuleset,
  writeSysctl,
} from '@calico-openstack/kernel';
import { earlierAddresses, type TableName, tableName } from '@calico-openstack/render';
import { openAnnouncements } from './devices/announcements.ts';
import { openGatewayAnswers } from './devices/gateway-answers.ts';
import { BandwidthLimits, shaperRights } from './devices/shaping.ts';
import { isOurBlackhole } from './devices/wanted.ts';
import type { DeviceKernel, EarlierRun } from './devices.ts';
import { HostSettings, switchOn } from './host-settings.ts';
import { needing } from './kernel-needs.ts';
import type { FelixConfig } from './option-table.ts';
import { type AddressTalk, type Heard, openAddressTalk } from './sharing/talk.ts';

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
  /** Forwarding, and what overrules our settings. */
  readonly settings: Pick<HostSettings, 'settle' | 'doubt'>;
  /** Reads the chains of other programs through which packets pass. */
  readOtherChains(): Promise<OtherChains>;
  /** Adds what is called with settings of interfaces that have changed; undefined when the kernel had to drop reports. It reports only some settings. */
  onSettings(listener: (changes: readonly NetconfChange[] | undefined) => void): void;
  /**
   * Opens routes and neighbours.
   * @param config returns the settings in force, and is called for each decision
   */
  openDevices(
    config: () => FelixConfig,
    told: Pick<DeviceKernel, 'onSysctlsRestored' | 'obstacleOf'>,
  ): { readonly kernel: DeviceKernel; readonly earlier: EarlierRun };
  /**
   * Calls back with the index of each link on which a guest shows that it runs here, until closed (devices/announcements.ts).
   * @throws NetlinkError without CAP_NET_RAW
   */
  hearGuests(onHeard: (linkIndex: number) => void): { close(): void };
  /**
   * Answers ARP requests for gateways until closed (devices/gateway-answers.ts).
   * @throws NetlinkError without CAP_NET_RAW
   */
  answerForGateways(macFor: (linkIndex: number, address: string) => string | undefined): { close(): void };
  /**
   * Asks guests for addresses and receives their answers and announcements, until closed (sharing/talk.ts).
   * @throws NetlinkError without CAP_NET_RAW
   */
  talkOfAddresses(onHeard: (heard: Heard) => void): AddressTalk;
  close(): void;
}

/** RTPROT 80, which Calico's agents give to routes of workloads, besides `DeviceRouteProtocol` 3. */
const calicoRouteProtocol = 80;

/**
 * Opens the kernel of this process's network namespace.
 * @throws StartError with the remedy when the kernel lacks or refuses what the agent needs
 */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: it opens one thing after the other, and decides nothing
export function openHostKernel(log: Logger, config: () => FelixConfig): HostKernel {
  const isWorkloads = (name: string): boolean => config().InterfacePrefix.some((prefix) => name.startsWith(prefix));
  const links = needing('links', () =>
    openLinks({ onTrouble: (error: unknown) => log.warn({ err: error }, 'events about links were lost or could not be read; all links are read again') }),
  );
  const hostAddresses = needing('links', () =>
    openHostAddresses(links, {
      onTrouble: (error: unknown) =>
        log.warn({ err: error }, 'cannot read the next hops of the host’s routes; the known ones stay reserved, and this is retried; see the error'),
      leavesOut: (device) => shaperRights.isOurIfb(device) || isWorkloads(device),
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
  switchOn(['net', 'netfilter', 'nf_conntrack_acct'], { write: writeSysctl, log });
  const monitor = needing('nftables', () => openMonitor());
  const closing: (() => void)[] = [
    () => hostAddresses.close(),
    () => links.close(),
    () => tables.inet.close(),
    () => tables.arp.close(),
    () => conntrack.close(),
    () => monitor.close(),
  ];
  const hostSettings = new HostSettings({ read: readSysctl, write: writeSysctl, links, isWorkloads, log });
  let drifted = (): void => undefined;
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
    settings: hostSettings,
    readOtherChains: () => readOtherChains((table) => table === tableName),
    onSettings(listener) {
      const subscription = watchNetconf(monitor, listener, () => listener(undefined));
      closing.push(() => subscription.close());
    },
    openDevices(settings, told) {
      const onDrift = (): void => drifted();
      const bgpInterfaces = new Set<string>();
      const ownsRoute = (route: KernelRoute, device: string | undefined): boolean => {
        const { InterfacePrefix: devicePrefixes, RemoveExternalRoutes, DeviceRouteProtocol } = settings();
        if (isOurBlackhole(route, DeviceRouteProtocol)) return true;
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
      return {
        kernel: {
          links,
          routes,
          neighbours,
          writeSysctl: (path, value) => hostSettings.writeOfInterface(path, value),
          readSysctl,
          bgpInterfaces,
          limits: new BandwidthLimits(shaper, onDrift),
          ...told,
        },
        earlier: { led, elevated },
      };
    },
    hearGuests: openAnnouncements,
    answerForGateways: openGatewayAnswers,
    talkOfAddresses: openAddressTalk,
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
