// What upstream's Felix calls its own on a host, in each of its modes, and whether it is there. Facts about another program: reference for them is what it leaves (testing/leavings).
import { readFileSync } from 'node:fs';
import { type ChainName, chainExists, chainLeadsTo, type Link, type TableFamily } from '@calico-openstack/kernel';

/** nftables mode: its tables, each with a base chain and the chain of its own that this leads to. A table of such a name without these is somebody else's. */
const nftablesMode: readonly (ChainName & { readonly own: string })[] = [
  { family: 'ip', table: 'calico', chain: 'filter-FORWARD', own: 'filter-cali-FORWARD' },
  { family: 'ip6', table: 'calico', chain: 'filter-FORWARD', own: 'filter-cali-FORWARD' },
  { family: 'arp', table: 'calico-arp', chain: 'filter-OUTPUT', own: 'filter-cali-arp-dispatch' },
];

/** The tables of upstream's nftables mode that are there. */
export const upstreamTables = (): readonly { readonly family: TableFamily; readonly name: string }[] =>
  nftablesMode
    .filter(({ family, table, chain, own }) => [chain, own].every((name) => chainExists(family, table, name)))
    .map(({ family, table }) => ({ family, name: table }));

export type IpFamily = 4 | 6;
const tableFamilies = { 4: 'ip', 6: 'ip6' } as const;

/** iptables mode over nftables: one chain of upstream's in each table of iptables that it uses. */
const iptablesChains = { raw: 'cali-PREROUTING', mangle: 'cali-PREROUTING', nat: 'cali-PREROUTING', filter: 'cali-FORWARD' } as const;

/** Whether upstream has chains in the tables of `iptables-nft`. */
export const hasIptablesNftChains = (family: IpFamily): boolean =>
  Object.entries(iptablesChains).some(([table, chain]) => chainExists(tableFamilies[family], table, chain));

/** Whether what is forwarded in this family goes through upstream's rules, in its nftables mode or its iptables mode over nftables. */
export const policesByNftables = (family: IpFamily): boolean =>
  chainLeadsTo({ family: tableFamilies[family], table: 'calico', chain: 'filter-FORWARD' }, 'filter-cali-FORWARD') ||
  chainLeadsTo({ family: tableFamilies[family], table: 'filter', chain: 'FORWARD' }, 'cali-FORWARD');

/** Whether iptables' own ("legacy") tables are in use on this host at all: without that nobody need be asked, and asking would load them. */
export function usesLegacyTables(family: IpFamily): boolean {
  try {
    return readFileSync(`/proc/net/${family === 4 ? 'ip' : 'ip6'}_tables_names`, 'utf8').trim() !== '';
  } catch {
    return false; // the kernel has none
  }
}

/** ipsets of upstream's: a kind and a digest, or one of the names that it always has. */
export const isUpstreamIpset = (name: string): boolean =>
  /^cali[46]0([a-z]{1,4}:[\w-]+|this-host|all-hosts-net|all-ipam-pools|masq-ipam-pools|network-ip-pools|all-vxlan-net|all-tunnel-net|dscp-src-net)$/.test(
    name,
  ) || /^cali[46]t\d+$/.test(name);

/** RTPROT 80: routes that upstream marks as its own, beside those on workload interfaces. */
export const upstreamRouteProtocol = 80;

/** Devices that upstream makes for tunnels to other hosts, by kind. IPIP's `tunl0` is the kernel's own and stays. */
const tunnelKinds: ReadonlyMap<string, string> = new Map([
  ['vxlan.calico', 'vxlan'],
  ['vxlan-v6.calico', 'vxlan'],
  ['wireguard.cali', 'wireguard'],
  ['wg-v6.cali', 'wireguard'],
]);
export const isUpstreamTunnel = ({ name, kind }: Pick<Link, 'name' | 'kind'>): boolean => kind !== undefined && tunnelKinds.get(name) === kind;
