// Constant sets: lists of ports or prefixes that stand in a rule. They are named after their content, shared by all rules with the same list, and removed with the last of these rules.
import { addressBytes, addressOf, type Cidr, type IpFamily, prefixLength } from '@calico-openstack/addresses';
import { type PortRange, shortDigest } from '@calico-openstack/datamodel';
import type { NftElement, NftSet } from '@calico-openstack/kernel/nftables/objects';
import type { EditList } from './edits.ts';
import { port, rangeElement } from './statements.ts';

/** A constant set with its elements. */
export type ConstantSet = { readonly set: NftSet; readonly elements: readonly NftElement[] };

/** Sorts port ranges, and merges those that overlap or are adjacent. */
export function mergePorts(ranges: readonly PortRange[]): PortRange[] {
  const merged: { first: number; last: number }[] = [];
  for (const { first, last } of [...ranges].sort((a, b) => a.first - b.first)) {
    const previous = merged.at(-1);
    if (previous && first <= previous.last + 1) previous.last = Math.max(previous.last, last);
    else merged.push({ first, last });
  }
  return merged;
}

/** The constant set for a list of port ranges. @param ranges as `mergePorts` returns them */
export function portsConstant(ranges: readonly PortRange[]): ConstantSet {
  const content = ranges.map(({ first, last }) => `${first}-${last}`).join(',');
  return {
    set: { name: `list-ports-${shortDigest(content, 16)}`, key: ['inet_service'], interval: true },
    elements: ranges.map(({ first, last }) => ({ key: port(first), keyEnd: port(last) })),
  };
}

/** Removes the prefixes that lie in others, and sorts the rest, so that equal lists in another order become one list. @param cidrs of one family */
export function outermostOf(cidrs: readonly Cidr[]): Cidr[] {
  const inOrder = cidrs.map((cidr) => ({ cidr, bytes: addressBytes(addressOf(cidr)), length: prefixLength(cidr) }));
  inOrder.sort((one, other) => Buffer.compare(one.bytes, other.bytes) || one.length - other.length); // a prefix comes before those that it contains
  const tops: typeof inOrder = [];
  for (const next of inOrder) {
    const last = tops.at(-1);
    if (!last || !beginsAlike(last.bytes, next.bytes, last.length)) tops.push(next);
  }
  return tops.map(({ cidr }) => cidr).sort();
}

/** Whether the first `bits` bits of both are the same. */
function beginsAlike(one: Uint8Array, other: Uint8Array, bits: number): boolean {
  for (let index = 0; index * 8 < bits; index += 1) {
    const mask = 0xff00 >> Math.min(8, bits - index * 8);
    if ((one[index]! & mask & 0xff) !== (other[index]! & mask & 0xff)) return false;
  }
  return true;
}

/** The constant set for a list of prefixes. @param cidrs of this family, as `outermostOf` returns them */
export function netsConstant(family: IpFamily, cidrs: readonly Cidr[]): ConstantSet {
  return {
    set: { name: `list-nets${family}-${shortDigest(cidrs.join(','), 16)}`, key: [family === 4 ? 'ipv4_addr' : 'ipv6_addr'], interval: true },
    elements: cidrs.map(rangeElement),
  };
}

/** Counts the users of constant sets, so that a set exists as long as a chain uses it. */
export class Constants {
  readonly #users = new Map<string, number>();

  /** Counts one more user of each, and creates the sets that are new. */
  acquire(constants: readonly ConstantSet[], edits: EditList): void {
    for (const { set, elements } of constants) {
      const users = this.#users.get(set.name) ?? 0;
      if (users === 0) edits.setSet(set, elements);
      this.#users.set(set.name, users + 1);
    }
  }

  /** Counts one user less of each, and removes the sets without users. */
  release(constants: readonly ConstantSet[], edits: EditList): void {
    for (const { set } of constants) {
      const users = this.#users.get(set.name)! - 1;
      if (users > 0) this.#users.set(set.name, users);
      else {
        this.#users.delete(set.name);
        edits.removeSet(set.name);
      }
    }
  }
}
