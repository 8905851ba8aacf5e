// What a workload may speak for by prefix, and what by a MAC that is not its port's: chains named after their content, shared by all workloads that may the same.
import { type Cidr, familyOf, hostCidr, type LocalWorkload, linkLocalOf, type PairMac, prefixLength } from '@calico-openstack/datamodel';
import type { Field, NftChain, NftRule, NftSet, Statement } from '@calico-openstack/kernel/nftables/objects';
import { coverOf } from './constants.ts';
import type { EditList, TableName } from './edits.ts';
import { claimChain, connectionChain, pairMacChain, spoofChain } from './names.ts';
import { addressField, advertises, commented, drop, equal, fieldInCidr, goBack, goTo, nfproto, rule, u32 } from './statements.ts';

/** interface → chain with the prefixes that it may send from beyond its own addresses; in `arp`: that it may claim */
export const spoofMap = 'workload-spoofing';
/** interface → chain with the prefixes that it may claim by neighbour advertisements */
export const claimMap = 'workload-claims';
/** interface → chain with the prefixes about whose connections it may speak */
export const connectionMap = 'workload-connections';
/** (interface, MAC) → chain with the addresses that this MAC is good for */
export const pairMacMap = 'workload-pair-macs';

/** Where the chains of pairs' MACs lead to: MAC and address fit, and the address has yet to be the workload's. */
export const addressCheck: Readonly<Record<TableName, string>> = { inet: 'source-address', arp: 'claimed-address' };

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

/** What follows the checks of a source address: also the end of every chain of allowed prefixes. */
export const reversePath: readonly NftRule[] = [
  commented('the way back must lead through the interface that it came by', equal('fib saddr . mark . iif oif', u32(0)), drop),
];

type SharedChain = { readonly table: TableName; readonly chain: NftChain };

const hasFamily = (cidrs: readonly Cidr[], family: 4 | 6): boolean => cidrs.some((cidr) => familyOf(cidr) === family);

/** What the chains of a list are named after. */
const contentOf = (cidrs: readonly Cidr[]): string => [...cidrs].sort().join(',');

/** The names of the chains for a list of prefixes, where it has any for them. */
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

/** Each prefix of the families that the field can have, in `field`, leads to `statement`. */
function holding(cidrs: readonly Cidr[], family: 4 | 6, field: Field, statement: Statement, before: readonly Statement[] = []): NftRule[] {
  const nets = coverOf(cidrs.filter((cidr) => familyOf(cidr) === family));
  return nets.map((cidr) => rule(...before, ...(prefixLength(cidr) === 0 ? [] : [fieldInCidr(field, cidr)]), statement));
}

/** Lets packets from the prefixes pass the source check; falls off its end, back to the base chain, where they are to be dropped. */
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

/** A virtual router of IPv6 speaks to the others of its group from the link-local address that its MAC makes. */
const addressesOf = ({ mac, addresses }: PairMac): readonly Cidr[] => (hasFamily(addresses, 6) ? [...addresses, hostCidr(linkLocalOf(mac))] : addresses);

/** The name of the chain for a MAC's addresses, in both tables. */
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

/** All shared chains that a workload's elements lead to. */
export const sharedChainsOf = ({ allowSpoofedSourcePrefixes, pairMacs = [] }: LocalWorkload): readonly SharedChain[] => [
  ...chainsOfPrefixes(allowSpoofedSourcePrefixes),
  ...pairMacs.flatMap(chainsOfPairMac),
];

/** Which chains stand, and for how many. */
export class SharedChains {
  readonly #users = new Map<string, number>();

  acquire(chains: readonly SharedChain[], edits: EditList): void {
    for (const { table, chain } of chains) {
      const key = `${table} ${chain.name}`;
      const users = this.#users.get(key) ?? 0;
      if (users === 0) edits.setChain(chain, table);
      this.#users.set(key, users + 1);
    }
  }

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
