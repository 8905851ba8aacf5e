// Outgoing NAT of IP pools: what a workload sends from an address of a pool with natOutgoing to an address outside of all pools leaves with an address of the host. The rules exist only
// while there is such a pool. They are for the first packet of a connection, and stand behind the translation of floating IPs.
import { addressBytes, type Cidr, familyOf, type IpFamily } from '@calico-openstack/addresses';
import type { IpPool } from '@calico-openstack/datamodel';
import type { NftElement, NftRule, NftSet, Statement } from '@calico-openstack/kernel/nftables/objects';
import type { EditList } from './edits.ts';
import type { RenderOptions } from './options.ts';
import { OutermostPrefixes } from './outermost-prefixes.ts';
import { addressField, equal, ifnameBytes, inSet, l4proto, nameBegins, rangeElement } from './statements.ts';

/** The sets of prefixes: of all pools, and of those with natOutgoing. */
const setName = (which: Which, family: IpFamily): string => `pools-${which}${family}`;
type Which = 'all' | 'nat';
const families = [4, 6] as const;
const kinds: readonly Which[] = ['all', 'nat'];

/** The sets that exist from the start, in the table inet. */
export const poolSets: readonly NftSet[] = families.flatMap((family) =>
  kinds.map((which): NftSet => ({ name: setName(which, family), key: [family === 4 ? 'ipv4_addr' : 'ipv6_addr'], interval: true })),
);

const portProtocols = [6, 17]; // as upstream's Felix: SCTP's ports are left alone

/**
 * The rules for packets that leave the host.
 * @param fromWorkload makes a rule for each prefix of workload interfaces, for packets that came in on such an interface
 */
export function outgoingNatRules({ natOutgoing }: RenderOptions, fromWorkload: (...statements: readonly Statement[]) => NftRule[]): NftRule[] {
  const { address, ports, leavesBy } = natOutgoing;
  const way = leavesBy === undefined ? [] : [outBy(leavesBy)];
  return families.flatMap((family) => {
    const leaves = [
      ...way,
      inSet(setName('nat', family), [addressField(family, 'source')]),
      inSet(setName('all', family), [addressField(family, 'destination')], true),
    ];
    const to = (range: { readonly port?: number; readonly lastPort?: number }): Statement =>
      address !== undefined && familyOf(address) === family
        ? { is: 'nat', kind: 'snat', family, address: addressBytes(address), ...range }
        : { is: 'masquerade', ...range };
    const translations: readonly (readonly Statement[])[] = [
      ...(ports ? portProtocols.map((protocol) => [l4proto(protocol), to({ port: ports.first, lastPort: ports.last })]) : []),
      [to({})],
    ];
    return translations.flatMap((translation) => fromWorkload(...leaves, ...translation));
  });
}

const outBy = (name: string): Statement => (name.endsWith('+') ? nameBegins('meta oifname', name.slice(0, -1)) : equal('meta oifname', ifnameBytes(name)));

/** Keeps the sets up to date. */
export class PoolPrefixes {
  readonly #pools = new Map<string, IpPool>();
  readonly #prefixes: Readonly<Record<Which, Readonly<Record<IpFamily, OutermostPrefixes>>>> = {
    all: { 4: new OutermostPrefixes(4), 6: new OutermostPrefixes(6) },
    nat: { 4: new OutermostPrefixes(4), 6: new OutermostPrefixes(6) },
  };
  #natPools = 0;

  /** Whether a pool has natOutgoing. */
  get hasNat(): boolean {
    return this.#natPools > 0;
  }

  /** Takes pools that changed. What a pool loses goes before what another gets. */
  apply(changes: ReadonlyMap<string, IpPool | undefined>, edits: EditList): void {
    for (const key of changes.keys()) {
      const before = this.#pools.get(key);
      if (before) this.#set(before, 'remove', edits);
      this.#pools.delete(key);
    }
    for (const [key, pool] of changes) {
      if (!pool) continue;
      this.#pools.set(key, pool);
      this.#set(pool, 'add', edits);
    }
  }

  #set({ cidr, natOutgoing }: IpPool, verb: 'add' | 'remove', edits: EditList): void {
    if (natOutgoing) this.#natPools += verb === 'add' ? 1 : -1;
    for (const which of natOutgoing ? kinds : (['all'] as const)) {
      const family = familyOf(cidr);
      const { shown, hidden } = this.#prefixes[which][family][verb](cidr);
      const elements = (cidrs: readonly Cidr[]): NftElement[] => cidrs.map(rangeElement);
      edits.removeElements(setName(which, family), elements(hidden));
      edits.addElements(setName(which, family), elements(shown));
    }
  }
}
