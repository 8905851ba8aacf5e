// Everything of this host's kernel that the agent holds open, and what it switches on once.
import type { Logger } from '@calico-openstack/agent';
import type { Links } from '@calico-openstack/kernel/links/link';
import { openLinks } from '@calico-openstack/kernel/links/netlink';
import { openNeighbours } from '@calico-openstack/kernel/neighbours/netlink';
import { neighbourProgrammer, ownsNeighbours } from '@calico-openstack/kernel/neighbours/programmer';
import { type OpenTable, openTable, openTableKernel } from '@calico-openstack/kernel/nftables/table.netlink';
import { openRoutes } from '@calico-openstack/kernel/routes/netlink';
import { ownsRoutes, routeProgrammer } from '@calico-openstack/kernel/routes/programmer';
import { readSysctl, writeSysctl } from '@calico-openstack/kernel/sysctl/sysctl';
import { type TableName, tableName } from '@calico-openstack/render';
import type { FelixConfig } from './config/parameters.ts';
import type { DeviceKernel } from './devices.ts';

export interface HostKernel {
  readonly links: Links;
  readonly tables: Readonly<Record<TableName, OpenTable>>;
  /** Whether the kernel has the table already: of an earlier run. */
  hasTable(name: TableName): boolean;
  /** `net.ipv4.conf.default.rp_filter` as it was at the start. */
  readonly defaultRpFilter: string;
  openDevices(config: FelixConfig): DeviceKernel;
  /** Somebody else changed a route or neighbour of ours. */
  onDrift(listener: () => void): void;
  close(): void;
}

/** RTPROT 80: what Calico's agents have marked routes of workloads with, before and beside `DeviceRouteProtocol` 3. */
const calicoRouteProtocol = 80;

export function openHostKernel(config: FelixConfig, log: Logger): HostKernel {
  if (config.IPForwarding === 'Enabled') {
    switchOn(['net', 'ipv4', 'ip_forward'], log);
    if (config.Ipv6Support) switchOn(['net', 'ipv6', 'conf', 'all', 'forwarding'], log);
  }
  switchOn(['net', 'netfilter', 'nf_conntrack_acct'], log);
  const links = openLinks({ onTrouble: (error: unknown) => log.warn({ err: error }, 'links: read again') });
  const tables = { inet: openTable('inet', tableName), arp: openTable('arp', tableName) };
  const closing: (() => void)[] = [];
  let drifted = (): void => undefined;
  return {
    links,
    tables,
    hasTable(name) {
      const kernel = openTableKernel(name, tableName);
      try {
        return kernel.read().table;
      } finally {
        kernel.close();
      }
    },
    defaultRpFilter: readSysctl(['net', 'ipv4', 'conf', 'default', 'rp_filter']) ?? '1', // as upstream assumes where it cannot be read
    onDrift(listener) {
      drifted = listener;
    },
    openDevices(settings) {
      const onDrift = (): void => drifted();
      const prefixes = settings.InterfacePrefix;
      const onWorkload = (name: string | undefined): boolean => name !== undefined && prefixes.some((prefix) => name.startsWith(prefix));
      const ownsAny = ownsRoutes({ devicePrefixes: prefixes });
      const routes = routeProgrammer({
        table: openRoutes(),
        devices: links,
        // By protocol only on workload interfaces: 3 ("boot") is everybody's number.
        owns: (route, name) =>
          settings.RemoveExternalRoutes
            ? ownsAny(route, name)
            : onWorkload(name) && [settings.DeviceRouteProtocol, calicoRouteProtocol].includes(route.protocol),
        onDrift,
      });
      const neighbours = neighbourProgrammer({ table: openNeighbours(), devices: links, owns: ownsNeighbours({ devicePrefixes: prefixes }), onDrift });
      closing.push(
        () => routes.close(),
        () => neighbours.close(),
      );
      return { links, routes, neighbours, writeSysctl };
    },
    close() {
      for (const close of closing) close();
      tables.inet.close();
      tables.arp.close();
      links.close();
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
