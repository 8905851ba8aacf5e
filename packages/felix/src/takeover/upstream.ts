// Recognises the objects of upstream's Felix on a host, in each of its modes. The facts were read from what it leaves on a host (testing/leavings).
import { readFileSync } from 'node:fs';
import { type ChainName, chainExists, chainLeadsTo, type Link, type TableFamily } from '@calico-openstack/kernel';

/** The tables of the nftables mode, each with a base chain and a chain of upstream's to which it leads. A table with such a name and without these chains is somebody else's. */
const nftablesMode: readonly (ChainName & { readonly own: string })[] = [
  { family: 'ip', table: 'calico', chain: 'filter-FORWARD', own: 'filter-cali-FORWARD' },
  { family: 'ip6', table: 'calico', chain: 'filter-FORWARD', own: 'filter-cali-FORWARD' },
  { family: 'arp', table: 'calico-arp', chain: 'filter-OUTPUT', own: 'filter-cali-arp-dispatch' },
];

/** The tables of upstream's nftables mode that the kernel has. */
export const upstreamTables = (): readonly { readonly family: TableFamily; readonly name: string }[] =>
  nftablesMode
    .filter(({ family, table, chain, own }) => [chain, own].every((name) => chainExists(family, table, name)))
    .map(({ family, table }) => ({ family, name: table }));

/** An address family. */
export type IpFamily = 4 | 6;
const tableFamilies = { 4: 'ip', 6: 'ip6' } as const;

/** One chain of upstream's in each table that its iptables mode uses, by table. */
const iptablesChains = { raw: 'cali-PREROUTING', mangle: 'cali-PREROUTING', nat: 'cali-PREROUTING', filter: 'cali-FORWARD' } as const;

/** Whether upstream has chains in the tables of `iptables-nft`. */
export const hasIptablesNftChains = (family: IpFamily): boolean =>
  Object.entries(iptablesChains).some(([table, chain]) => chainExists(tableFamilies[family], table, chain));

/** Whether forwarded packets of this family pass through upstream's rules, in its nftables mode or in its iptables mode with the nft back end. */
export const policesByNftables = (family: IpFamily): boolean =>
  chainLeadsTo({ family: tableFamilies[family], table: 'calico', chain: 'filter-FORWARD' }, 'filter-cali-FORWARD') ||
  chainLeadsTo({ family: tableFamilies[family], table: 'filter', chain: 'FORWARD' }, 'cali-FORWARD');

/** Whether this host uses iptables' legacy tables at all. If not, iptables' tools must not be called, because they would load the tables. */
export function usesLegacyTables(family: IpFamily): boolean {
  try {
    return readFileSync(`/proc/net/${family === 4 ? 'ip' : 'ip6'}_tables_names`, 'utf8').trim() !== '';
  } catch {
    return false; // the kernel does not have the tables
  }
}

/** Whether an ipset is upstream's: its name has a kind and a digest, or is one of upstream's fixed names. */
export const isUpstreamIpset = (name: string): boolean =>
  /^cali[46]0([a-z]{1,4}:[\w-]+|this-host|all-hosts-net|all-ipam-pools|masq-ipam-pools|network-ip-pools|all-vxlan-net|all-tunnel-net|dscp-src-net)$/.test(
    name,
  ) || /^cali[46]t\d+$/.test(name);

/** RTPROT 80, which upstream gives to its routes that are not on workload interfaces. */
export const upstreamRouteProtocol = 80;

/** The links that upstream creates for tunnels to other hosts, with their kinds. The link `tunl0` of IPIP is the kernel's own and stays. */
const tunnelKinds: ReadonlyMap<string, string> = new Map([
  ['vxlan.calico', 'vxlan'],
  ['vxlan-v6.calico', 'vxlan'],
  ['wireguard.cali', 'wireguard'],
  ['wg-v6.cali', 'wireguard'],
]);
/** Whether a link is one of upstream's tunnels to other hosts, by name and kind. */
export const isUpstreamTunnel = ({ name, kind }: Pick<Link, 'name' | 'kind'>): boolean => kind !== undefined && tunnelKinds.get(name) === kind;
