// Renders policy's IP sets as nftables sets, one for each family. While every member is a single address it is a hash set; with a prefix among them it is an interval set.
// A lookup in a hash set costs the same at any size, so the usual security group does not pay for the rare network set.
import { addressBytes, addressOf, type Cidr, familyOf, type IpFamily, isHostCidr } from '@calico-openstack/addresses';
import type { IpSetChange, IpSetId, IpSetKind, NamedPortMember } from '@calico-openstack/datamodel';
import type { NftElement, NftSet } from '@calico-openstack/kernel/nftables/objects';
import type { EditList } from './edits.ts';
import { OutermostPrefixes } from './outermost-prefixes.ts';
import { addressElement, byte, concat, port, rangeElement } from './statements.ts';

const families = [4, 6] as const;

const kindNames = { addresses: 'group', ranges: 'nets' } as const;
/**
 * The two kinds have different names. A set that was replaced by one of the other kind under the same name would be empty for a moment, and rules that exclude its members would let
 * them through.
 */
const setName = (family: IpFamily, id: IpSetId, kind: keyof typeof kindNames): string => `${kindNames[kind]}${family}-${id}`;
/** The name of the set of named ports, by family. */
export const namedPortSetName = (family: IpFamily, id: IpSetId): string => `ports${family}-${id}`;

type AddressSet = { readonly family: IpFamily; readonly id: IpSetId; readonly members: Set<Cidr>; prefixes: number; outermost: OutermostPrefixes | undefined };

const addressKey = (family: IpFamily) => (family === 4 ? 'ipv4_addr' : 'ipv6_addr');

const nameOf = ({ family, id, outermost }: AddressSet): string => setName(family, id, outermost ? 'ranges' : 'addresses');
const definition = (set: AddressSet): NftSet => ({ name: nameOf(set), key: [addressKey(set.family)], ...(set.outermost && { interval: true }) });

const namedPortElement = (member: NamedPortMember): NftElement => ({ key: concat(addressBytes(member.address), byte(member.protocol), port(member.port)) });

/** The IP sets, with their members: a set can change its kind, and a prefix that lies in others can become outermost again. */
export class Sets {
  readonly #addresses = new Map<IpSetId, readonly AddressSet[]>();
  readonly #kinds = new Map<IpSetId, IpSetKind>();

  /** The name by which rules refer to the addresses of the set. */
  nameOf(family: IpFamily, id: IpSetId): string {
    const set = this.#addresses.get(id)?.find((each) => each.family === family);
    return set ? nameOf(set) : setName(family, id, 'addresses');
  }

  /** Applies a change. Returns whether `nameOf` changed, so that the rules which use the set must be rendered again. */
  apply(id: IpSetId, change: IpSetChange, edits: EditList): boolean {
    const before = this.#names(id);
    if (change.change === 'removed') {
      for (const name of before) edits.removeSet(name);
      this.#kinds.delete(id);
      this.#addresses.delete(id);
      return false;
    }
    if (change.change === 'whole') this.#kinds.set(id, change.kind);
    if (change.kind === 'named-ports') applyNamedPorts(id, change, edits);
    else if (change.change === 'whole') {
      this.#addresses.set(
        id,
        families.map((family) => wholeSet(family, id, change.members, edits)),
      );
    } else for (const set of this.#addresses.get(id) ?? []) changeMembers(set, change, edits);
    const now = this.#names(id);
    const gone = before.filter((name) => !now.includes(name));
    for (const name of gone) edits.removeSet(name);
    return gone.length > 0;
  }

  #names(id: IpSetId): readonly string[] {
    if (this.#kinds.get(id) === 'named-ports') return families.map((family) => namedPortSetName(family, id));
    return (this.#addresses.get(id) ?? []).map(nameOf);
  }
}

function applyNamedPorts(id: IpSetId, change: Extract<IpSetChange, { kind: 'named-ports' }>, edits: EditList): void {
  for (const family of families) {
    const name = namedPortSetName(family, id);
    const own = (members: readonly NamedPortMember[]): NftElement[] => members.filter((member) => familyOf(member.address) === family).map(namedPortElement);
    if (change.change === 'whole') edits.setSet({ name, key: [addressKey(family), 'inet_proto', 'inet_service'] }, own(change.members));
    else {
      edits.removeElements(name, own(change.removed));
      edits.addElements(name, own(change.added));
    }
  }
}

function wholeSet(family: IpFamily, id: IpSetId, all: ReadonlySet<Cidr>, edits: EditList): AddressSet {
  const members = new Set<Cidr>();
  let prefixes = 0;
  for (const cidr of all) {
    if (familyOf(cidr) !== family) continue;
    members.add(cidr);
    if (!isHostCidr(cidr)) prefixes += 1;
  }
  const set: AddressSet = { family, id, members, prefixes, outermost: undefined };
  emitWhole(set, edits);
  return set;
}

/** Chooses the set's kind by its members, and writes the whole set. */
function emitWhole(set: AddressSet, edits: EditList): void {
  if (set.prefixes > 0) {
    const outermost = new OutermostPrefixes(set.family);
    for (const cidr of set.members) outermost.add(cidr);
    set.outermost = outermost;
    edits.setSet(definition(set), outermost.shown().map(rangeElement));
  } else {
    set.outermost = undefined;
    edits.setSet(
      definition(set),
      Array.from(set.members, (cidr) => addressElement(addressOf(cidr))),
    );
  }
}

function changeMembers(set: AddressSet, change: { readonly added: readonly Cidr[]; readonly removed: readonly Cidr[] }, edits: EditList): void {
  const removed = change.removed.filter((cidr) => familyOf(cidr) === set.family && set.members.delete(cidr));
  const added = change.added.filter((cidr) => familyOf(cidr) === set.family && !set.members.has(cidr));
  for (const cidr of added) set.members.add(cidr);
  set.prefixes += count(added) - count(removed);
  if (set.prefixes > 0 !== (set.outermost !== undefined)) emitWhole(set, edits);
  else if (!set.outermost) {
    edits.removeElements(
      nameOf(set),
      removed.map((cidr) => addressElement(addressOf(cidr))),
    );
    edits.addElements(
      nameOf(set),
      added.map((cidr) => addressElement(addressOf(cidr))),
    );
  } else {
    // One by one, in order, because a prefix that one change shows may be hidden by the next.
    for (const cidr of removed) emitChange(nameOf(set), set.outermost.remove(cidr), edits);
    for (const cidr of added) emitChange(nameOf(set), set.outermost.add(cidr), edits);
  }
}

const count = (cidrs: readonly Cidr[]): number => cidrs.reduce((total, cidr) => total + (isHostCidr(cidr) ? 0 : 1), 0);

function emitChange(name: string, { shown, hidden }: { readonly shown: readonly Cidr[]; readonly hidden: readonly Cidr[] }, edits: EditList): void {
  edits.removeElements(name, hidden.map(rangeElement));
  edits.addElements(name, shown.map(rangeElement));
}
