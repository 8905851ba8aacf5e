// Computes the elements of maps and sets that each workload adds to the tables, keyed by its interface. A workload has no chains of its own; it uses those of its classes, and shared ones.
import { addressBytes, addressFromBytes, addressOf, type Cidr, familyOf, hostCidr, type IpFamily, isHostCidr, macBytes } from '@calico-openstack/addresses';
import { type LocalWorkload, type ProfileId, sameContent } from '@calico-openstack/datamodel';
import type { NftElement, NftSet } from '@calico-openstack/kernel/nftables/objects';
import type { EditList, TableName } from './edits.ts';
import { limitElements } from './limits.ts';
import { othersSets } from './others.ts';
import { pairMacChainOf, pairMacMap, prefixChains, prefixSets } from './prefixes.ts';
import { qosElements } from './qos.ts';
import { concat, ifnameBytes, port, u32 } from './statements.ts';

/** The set of interfaces with a known endpoint. Nothing passes from or to any other workload interface. */
export const knownInterfaces = 'workload-interfaces';
/** The set of (interface, address): the addresses that a workload may send from and claim. */
export const ownAddresses = (family: IpFamily): string => `workload-addresses${family}`;
/** The bytes of the address in the key of an element of that set, behind the interface's name. */
export const ownAddressOf = (key: Uint8Array): Uint8Array => key.subarray(ifnameLength);
/** The name of the interface in such a key. */
export const ownInterfaceOf = (key: Uint8Array): string => new TextDecoder().decode(key.subarray(0, ifnameLength)).replace(/\0+$/, '');
const ifnameLength = 16;
/** The set of addresses that left their workload while their connections are not cut yet. No rule uses it. An agent that was killed in between reads it at its next start. */
export const leavingAddresses = (family: IpFamily): string => `leaving-addresses${family}`;
/** The set of (interface, MAC): the port's own MAC. */
export const ownMacs = 'workload-macs';
/** The set of interfaces whose MAC is not checked: the port has none, or port security is off. */
export const anyMac = 'workload-any-mac';
/** The map from interface to class number. */
export const interfaceClasses = (direction: 'ingress' | 'egress'): string => `workload-${direction}-class`;
/** The map from external to internal address. */
export const floatingToFixed = (family: IpFamily): string => `floating-to-fixed${family}`;
/** The map from (internal, internal) to external address: a workload that talks to its own floating IP must see the answer come from it. */
export const fixedToFloating = (family: IpFamily): string => `fixed-to-floating${family}`;

/** The set of (interface, address, port): where a workload reaches the host's BIRD. */
export const bgpPeerings = (family: IpFamily): string => `workload-bgp${family}`;

const address = (family: IpFamily) => (family === 4 ? 'ipv4_addr' : 'ipv6_addr');

/** The sets that exist from the start, by table. */
export const workloadSets: Readonly<Record<TableName, readonly NftSet[]>> = {
  inet: [
    { name: knownInterfaces, key: ['ifname'] },
    { name: ownAddresses(4), key: ['ifname', 'ipv4_addr'] },
    { name: ownAddresses(6), key: ['ifname', 'ipv6_addr'] },
    { name: ownMacs, key: ['ifname', 'ether_addr'] },
    { name: anyMac, key: ['ifname'] },
    ...prefixSets.inet,
    ...othersSets.inet,
    { name: interfaceClasses('ingress'), key: ['ifname'], data: 'mark' },
    { name: interfaceClasses('egress'), key: ['ifname'], data: 'mark' },
    ...([4, 6] as const).flatMap((family): NftSet[] => [
      { name: leavingAddresses(family), key: [address(family)] },
      { name: bgpPeerings(family), key: ['ifname', address(family), 'inet_service'] },
      { name: floatingToFixed(family), key: [address(family)], data: address(family) },
      { name: fixedToFloating(family), key: [address(family), address(family)], data: address(family) },
    ]),
  ],
  arp: [
    { name: knownInterfaces, key: ['ifname'] },
    { name: ownAddresses(4), key: ['ifname', 'ipv4_addr'] },
    { name: ownMacs, key: ['ifname', 'ether_addr'] },
    { name: anyMac, key: ['ifname'] },
    ...prefixSets.arp,
    ...othersSets.arp,
  ],
};

/**
 * The interface that each address belonged to in an earlier run, as the kernel's sets record it; '' for an address that had left and whose connections may not have been cut.
 * @param elementsOf the kernel's elements of a set; none when there is no such set
 */
export function earlierAddresses(elementsOf: (set: NftSet) => Iterable<NftElement>): Map<Cidr, string> {
  const led = new Map<Cidr, string>();
  const named = (name: string): Iterable<NftElement> => elementsOf(workloadSets.inet.find((set) => set.name === name)!);
  for (const family of [4, 6] as const) {
    for (const { key } of named(ownAddresses(family))) led.set(hostCidr(addressFromBytes(ownAddressOf(key))), ownInterfaceOf(key));
    for (const { key } of named(leavingAddresses(family))) led.set(hostCidr(addressFromBytes(key)), '');
  }
  return led;
}

type Contribution = { readonly table: TableName; readonly set: string; readonly element: NftElement };
/** The elements that must exist because of one workload, by table, set and key. */
export type Contributions = ReadonlyMap<string, Contribution>;

/** The contributions of a workload that is not there. */
export const noContributions: Contributions = new Map();

const contributionKey = (table: TableName, set: string, key: Uint8Array): string => `${table} ${set} ${String.fromCharCode(...key)}`; // without the key's `buffer`, which V8 would make for it and keep

/** The Neutron driver gives a port without port security the profile that allows everything. Such a port may use any MAC: no other link ever sees it. */
const hasPortSecurity = ({ policy }: LocalWorkload): boolean => !policy.profiles.includes('projectcalico-default-allow' as ProfileId);

/**
 * The elements that a workload adds.
 * @param classes the numbers of its classes
 */
export function contributionsOf(workload: LocalWorkload, classes: { readonly ingress: number; readonly egress: number }): Contributions {
  const contributions = new Map<string, Contribution>();
  const add = (tables: readonly TableName[], set: string, element: NftElement): void => {
    for (const table of tables) contributions.set(contributionKey(table, set, element.key), { table, set, element });
  };
  const both = ['inet', 'arp'] as const;
  const name = ifnameBytes(workload.interfaceName);
  add(both, knownInterfaces, { key: name });
  add(['inet'], interfaceClasses('ingress'), { key: name, data: u32(classes.ingress) });
  add(['inet'], interfaceClasses('egress'), { key: name, data: u32(classes.egress) });
  for (const { table, set, element } of limitElements(workload, name)) add([table], set, element);
  for (const { set, element } of qosElements(workload, name)) add(['inet'], set, element);
  const routed = new Set(workload.routed);
  for (const cidr of workload.addresses) {
    // A workload may not send from an address that another endpoint owns.
    if (!isHostCidr(cidr) || !routed.has(cidr)) continue;
    const family = familyOf(cidr);
    add(family === 4 ? both : ['inet'], ownAddresses(family), { key: concat(name, addressBytes(addressOf(cidr))) });
  }
  if (workload.mac && hasPortSecurity(workload)) add(both, ownMacs, { key: concat(name, macBytes(workload.mac)) });
  else add(both, anyMac, { key: name });
  if (workload.allowSpoofedSourcePrefixes.length > 0) {
    const chains = prefixChains(workload.allowSpoofedSourcePrefixes);
    for (const table of both) for (const [map, chain] of Object.entries(chains[table])) add([table], map, { key: name, verdict: { verdict: 'goto', chain } });
  }
  for (const pair of workload.pairMacs ?? [])
    add(both, pairMacMap, { key: concat(name, macBytes(pair.mac)), verdict: { verdict: 'goto', chain: pairMacChainOf(pair) } });
  for (const each of workload.bgpPeering?.addresses ?? [])
    add(['inet'], bgpPeerings(familyOf(each)), { key: concat(name, addressBytes(each), port(workload.bgpPeering!.port)) });
  for (const { internal, external } of floatingIps(workload, routed)) {
    const family = familyOf(external);
    add(['inet'], floatingToFixed(family), { key: addressBytes(external), data: addressBytes(internal) });
    const loop = concat(addressBytes(internal), addressBytes(internal));
    // Of several external addresses for one internal, the first one answers.
    if (!contributions.has(contributionKey('inet', fixedToFloating(family), loop)))
      add(['inet'], fixedToFloating(family), { key: loop, data: addressBytes(external) });
  }
  return contributions;
}

/** The translations of addresses that the endpoint owns, sorted by external, then internal address. Each external address leads to one internal address. */
function floatingIps(workload: LocalWorkload, routed: ReadonlySet<Cidr>): LocalWorkload['ipNats'] {
  const taken = new Set<string>();
  return [...workload.ipNats]
    .sort((a, b) => compare(a.external, b.external) || compare(a.internal, b.internal))
    .filter(({ external }) => routed.has(hostCidr(external)) && !taken.has(external) && taken.add(external));
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Writes the edits from what workloads contributed to what they contribute now. Elements are removed before others are added, because an address may move from one workload to another. */
export function emitContributions(changes: readonly { readonly before: Contributions; readonly after: Contributions }[], edits: EditList): void {
  const [gone, come] = [new Batches(), new Batches()];
  for (const { before, after } of changes) {
    for (const [key, contribution] of before) if (!after.has(key)) gone.add(contribution);
    for (const [key, contribution] of after) {
      const had = before.get(key);
      if (!had || !sameValue(had.element, contribution.element)) come.add(contribution);
    }
  }
  for (const { table, set, elements } of gone.all()) edits.removeElements(set, elements, table);
  for (const { table, set, elements } of come.all()) edits.addElements(set, elements, table);
}

class Batches {
  readonly #batches = new Map<string, { table: TableName; set: string; elements: NftElement[] }>();

  add({ table, set, element }: Contribution): void {
    const key = `${table} ${set}`;
    const batch = this.#batches.get(key) ?? { table, set, elements: [] };
    batch.elements.push(element);
    this.#batches.set(key, batch);
  }

  all(): Iterable<{ readonly table: TableName; readonly set: string; readonly elements: readonly NftElement[] }> {
    return this.#batches.values();
  }
}

const sameValue = (a: NftElement, b: NftElement): boolean =>
  a.data === b.data && a.verdict === b.verdict ? true : Buffer.compare(a.data ?? empty, b.data ?? empty) === 0 && sameContent(a.verdict, b.verdict);
const empty = new Uint8Array();
