// Renders the additional permissions of a workload to send packets and claim addresses, because of its prefixes and of MACs that are not its port's. The chains are named after their content
// and shared by all workloads with the same permissions.
import { type Cidr, familyOf, hostCidr, linkLocalOf, prefixLength } from '@calico-openstack/addresses';
import type { LocalWorkload, PairMac } from '@calico-openstack/datamodel';
import type { Field, NftChain, NftRule, NftSet, Statement } from '@calico-openstack/kernel/nftables/objects';
import { outermostOf } from './constants.ts';
import type { EditList, TableName } from './edits.ts';
import { claimChain, connectionChain, pairMacChain, spoofChain } from './names.ts';
import { addressField, advertises, commented, drop, equal, fieldInCidr, goBack, goTo, nfproto, rule, u32 } from './statements.ts';

/** Map from interface to the chain with the prefixes that it may send from, besides its own addresses. In the table arp: that it may claim. */
export const spoofMap = 'workload-spoofing';
/** Map from interface to the chain with the prefixes that it may claim by neighbour advertisements. */
export const claimMap = 'workload-claims';
/** Map from interface to the chain with the prefixes in whose connections it takes part. */
export const connectionMap = 'workload-connections';
/** Map from (interface, MAC) to the chain with the addresses that this MAC may use. */
export const pairMacMap = 'workload-pair-macs';

/** Where the chains of pairs' MACs continue when MAC and address belong together: the address must still be checked to be the workload's. */
export const addressCheck: Readonly<Record<TableName, string>> = { inet: 'source-address', arp: 'claimed-address' };

/** The maps of this file, by table. */
export const prefixSets: Readonly<Record<TableName, readonly NftSet[]>> = {
  inet: [
    ...[spoofMap, claimMap, connectionMap].map((name): NftSet => ({ name, key: ['ifname'], data: 'verdict' })),
    { name: pairMacMap, key: ['ifname', 'ether_addr'], data: 'verdict' },
  ],
  arp: [
    { name: spoofMap, key: ['ifname'], data: 'verdict' },
    { name: pairMacMap, key: ['ifname', 'ether_addr'], data: 'verdict' },
  ],
};

/** The reverse-path check. It follows the checks of a source address, and ends every chain of allowed prefixes. */
export const reversePath: readonly NftRule[] = [
  commented('the route back must lead through the interface that the packet came in on', equal('fib saddr . mark . iif oif', u32(0)), drop),
];

type SharedChain = { readonly table: TableName; readonly chain: NftChain };

const hasFamily = (cidrs: readonly Cidr[], family: 4 | 6): boolean => cidrs.some((cidr) => familyOf(cidr) === family);

/** The text that the chains of a list are named after. */
const contentOf = (cidrs: readonly Cidr[]): string => [...cidrs].sort().join(',');

/** The names of the chains for a list of prefixes, by map. A list without IPv6 prefixes needs no chain for neighbour advertisements, one without IPv4 prefixes none for ARP. */
export function prefixChains(prefixes: readonly Cidr[]): { readonly inet: Readonly<Record<string, string>>; readonly arp: Readonly<Record<string, string>> } {
  const content = contentOf(prefixes);
  return {
    inet: {
      [spoofMap]: spoofChain(content),
      [connectionMap]: connectionChain(content),
      ...(hasFamily(prefixes, 6) && { [claimMap]: claimChain(content) }),
    },
    arp: hasFamily(prefixes, 4) ? { [spoofMap]: spoofChain(content) } : {},
  };
}

/** A rule for each outermost prefix of the family: when `field` holds an address in it, `statement` applies. */
function holding(cidrs: readonly Cidr[], family: 4 | 6, field: Field, statement: Statement, before: readonly Statement[] = []): NftRule[] {
  const nets = outermostOf(cidrs.filter((cidr) => familyOf(cidr) === family));
  return nets.map((cidr) => rule(...before, ...(prefixLength(cidr) === 0 ? [] : [fieldInCidr(field, cidr)]), statement));
}

/** Lets packets from the prefixes pass the source check. All others reach the end of the chain, and are dropped by the rules behind it. */
function spoofRules(prefixes: readonly Cidr[]): NftRule[] {
  return ([4, 6] as const).flatMap((family) => holding(prefixes, family, addressField(family, 'source'), goBack, [nfproto(family)]));
}

function connectionRules(prefixes: readonly Cidr[]): NftRule[] {
  return ([4, 6] as const).flatMap((family) => {
    const ip = family === 4 ? 'ip' : 'ip6';
    return (['original', 'reply'] as const).flatMap((direction) => holding(prefixes, family, `ct ${direction} ${ip} saddr`, goBack, [nfproto(family)]));
  });
}

function chainsOfPrefixes(prefixes: readonly Cidr[]): SharedChain[] {
  if (prefixes.length === 0) return [];
  const content = contentOf(prefixes);
  const chains: SharedChain[] = [
    { table: 'inet', chain: { name: spoofChain(content), rules: [...spoofRules(prefixes), ...reversePath] } },
    { table: 'inet', chain: { name: connectionChain(content), rules: [...connectionRules(prefixes), rule(drop)] } },
  ];
  if (hasFamily(prefixes, 6))
    chains.push({ table: 'inet', chain: { name: claimChain(content), rules: [...holding(prefixes, 6, 'nd target', goBack, advertises), rule(drop)] } });
  if (hasFamily(prefixes, 4))
    chains.push({ table: 'arp', chain: { name: spoofChain(content), rules: [...holding(prefixes, 4, 'arp saddr ip', goBack), rule(drop)] } });
  return chains;
}

/** A virtual router of IPv6 sends to its group from the link-local address that its MAC makes. */
const addressesOf = ({ mac, addresses }: PairMac): readonly Cidr[] => (hasFamily(addresses, 6) ? [...addresses, hostCidr(linkLocalOf(mac))] : addresses);

/** The name of the chain for the addresses of a pair's MAC, in both tables. */
export const pairMacChainOf = (pair: PairMac): string => pairMacChain(contentOf(addressesOf(pair)));

function chainsOfPairMac(pair: PairMac): SharedChain[] {
  const name = pairMacChainOf(pair);
  const addresses = addressesOf(pair);
  const sources = ([4, 6] as const).flatMap((family) => holding(addresses, family, addressField(family, 'source'), goTo(addressCheck.inet), [nfproto(family)]));
  const claimed = holding(pair.addresses, 4, 'arp saddr ip', goTo(addressCheck.arp));
  return [
    { table: 'inet', chain: { name, rules: [...sources, rule(drop)] } },
    { table: 'arp', chain: { name, rules: [...claimed, rule(drop)] } },
  ];
}

/** All shared chains that a workload needs. */
export const sharedChainsOf = ({ allowSpoofedSourcePrefixes, pairMacs = [] }: LocalWorkload): readonly SharedChain[] => [
  ...chainsOfPrefixes(allowSpoofedSourcePrefixes),
  ...pairMacs.flatMap(chainsOfPairMac),
];

/** Counts the users of shared chains. */
export class SharedChains {
  readonly #users = new Map<string, number>();

  /** Counts one more user of each, and creates the chains that are new. */
  acquire(chains: readonly SharedChain[], edits: EditList): void {
    for (const { table, chain } of chains) {
      const key = `${table} ${chain.name}`;
      const users = this.#users.get(key) ?? 0;
      if (users === 0) edits.setChain(chain, table);
      this.#users.set(key, users + 1);
    }
  }

  /** Counts one user less of each, and removes the chains without users. */
  release(chains: readonly SharedChain[], edits: EditList): void {
    for (const { table, chain } of chains) {
      const key = `${table} ${chain.name}`;
      const users = this.#users.get(key)! - 1;
      if (users > 0) this.#users.set(key, users);
      else {
        this.#users.delete(key);
        edits.removeChain(chain.name, table);
      }
    }
  }
}
