// Renders outgoing NAT of IP pools: packets that a workload sends from an address of a pool with natOutgoing to an address outside of all pools leave with an address of the host. The rules
// exist only while there is such a pool. They apply to the first packet of a connection, and come after the translation of floating IPs.
import { addressBytes, addressOf, type Cidr, familyOf, hostCidr, type IpFamily } from '@calico-openstack/addresses';
import type { DesiredChange, IpPool } from '@calico-openstack/datamodel';
import type { NftElement, NftRule, NftSet, Statement } from '@calico-openstack/kernel/nftables/objects';
import type { EditList } from './edits.ts';
import type { RenderOptions } from './options.ts';
import { OutermostPrefixes } from './outermost-prefixes.ts';
import { accept, addressField, equal, ifnameBytes, inCidr, inSet, l4proto, nameBegins, port, rangeElement } from './statements.ts';

/** The sets of prefixes: of all pools, and of those with natOutgoing. */
const setName = (which: Which, family: IpFamily): string => `pools-${which}${family}`;
type Which = 'all' | 'nat';
const families = [4, 6] as const;
const kinds: readonly Which[] = ['all', 'nat'];

/** The set of the addresses of the cloud's hosts. It is empty unless their addresses are excepted. */
const hostSet = (family: IpFamily): string => `pools-hosts${family}`;

/** The sets that exist from the start, in the table inet. */
export const poolSets: readonly NftSet[] = families.flatMap((family): NftSet[] => {
  const key = [family === 4 ? 'ipv4_addr' : 'ipv6_addr'] as const;
  return [...kinds.map((which): NftSet => ({ name: setName(which, family), key, interval: true })), { name: hostSet(family), key }];
});

const portProtocols = [6, 17]; // as in upstream's Felix, SCTP's ports are not translated

const TCP = 6;

/**
 * The rules for packets that leave the host. A metadata service on another host knows a guest by its address, so what is sent there is not translated.
 * @param fromWorkload makes a rule for each prefix of workload interfaces, for packets that came in on such an interface
 */
export function outgoingNatRules({ natOutgoing, metadata }: RenderOptions, fromWorkload: (...statements: readonly Statement[]) => NftRule[]): NftRule[] {
  const { address, ports, leavesBy, exceptHosts } = natOutgoing;
  const way = leavesBy === undefined ? [] : [outBy(leavesBy)];
  const toMetadata = metadata
    ? fromWorkload(inCidr(hostCidr(metadata.address), 'destination'), l4proto(TCP), equal('th dport', port(metadata.port)), accept)
    : [];
  const translating = families.flatMap((family) => {
    const leaves = [
      ...way,
      inSet(setName('nat', family), [addressField(family, 'source')]),
      inSet(setName('all', family), [addressField(family, 'destination')], true),
      ...(exceptHosts ? [inSet(hostSet(family), [addressField(family, 'destination')], true)] : []),
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
  return [...toMetadata, ...translating];
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

  /** Applies changed pools. Elements are removed before others are added. */
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

/** Keeps the set of the hosts' addresses up to date. It is filled only while rules use it, because a large cloud has ten thousand hosts. */
export class ExceptedHosts {
  readonly #nodes = new Set<Cidr>();
  #isFilled = false;

  /** Applies changed addresses of Nodes. */
  apply(changes: DesiredChange['nodes'], edits: EditList): void {
    const [come, gone]: [Cidr[], Cidr[]] = [[], []];
    for (const [cidr, isNodes] of changes) {
      if (isNodes) this.#nodes.add(cidr);
      else this.#nodes.delete(cidr);
      (isNodes ? come : gone).push(cidr);
    }
    if (this.#isFilled) this.#edit(come, gone, edits);
  }

  /** Fills the set when rules begin to use it, and empties it when they no longer do. */
  fill(isAskedFor: boolean, edits: EditList): void {
    if (isAskedFor === this.#isFilled) return;
    this.#isFilled = isAskedFor;
    const all = [...this.#nodes];
    this.#edit(isAskedFor ? all : [], isAskedFor ? [] : all, edits);
  }

  #edit(come: readonly Cidr[], gone: readonly Cidr[], edits: EditList): void {
    for (const family of families) {
      const elements = (cidrs: readonly Cidr[]): NftElement[] =>
        cidrs.filter((cidr) => familyOf(cidr) === family).map((cidr) => ({ key: addressBytes(addressOf(cidr)) }));
      edits.removeElements(hostSet(family), elements(gone));
      edits.addElements(hostSet(family), elements(come));
    }
  }
}
