// An index of the Nodes by name and by address. A changed Node changes only its own entries, so no change costs a walk through thousands.
import type { IpAddress } from '@calico-openstack/addresses';
import type { Decoded } from '@calico-openstack/datamodel';
import type { Node } from './node.ts';

/** The Nodes by name and by address. All maps change in place. */
export interface NodeIndex {
  /** The valid Nodes, sorted by name. */
  readonly sorted: readonly Node[];
  /** The reasons why the other Nodes are invalid, by name. */
  readonly invalid: ReadonlyMap<string, string>;
  /** The valid Nodes by the addresses that they name. */
  readonly claimants: ReadonlyMap<IpAddress, ReadonlySet<Node>>;
  /** The addresses that several Nodes name. */
  readonly contested: ReadonlySet<IpAddress>;
}

/** An index that can be changed. */
export interface ChangingNodeIndex extends NodeIndex {
  /** Replaces the Node of this name by its newer value; `undefined` stands for a Node that does not exist. */
  replace(name: string, before: Decoded<Node> | undefined, after: Decoded<Node> | undefined): void;
}

/** The addresses that a Node names. */
export const addressesOf = ({ addresses }: Node): readonly IpAddress[] => [addresses[4], addresses[6]].flatMap((each) => each?.address ?? []);

/** Creates an index without Nodes. */
export function createNodeIndex(): ChangingNodeIndex {
  const sorted: Node[] = [];
  const invalid = new Map<string, string>();
  const claimants = new Map<IpAddress, Set<Node>>();
  const contested = new Set<IpAddress>();

  /** The place of the first Node whose name is not below this one. */
  function placeOf(name: string): number {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sorted[middle]!.name < name) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function remove(node: Node): void {
    for (const address of addressesOf(node)) {
      const naming = claimants.get(address)!;
      naming.delete(node);
      if (naming.size < 2) contested.delete(address);
      if (naming.size === 0) claimants.delete(address);
    }
  }

  function add(node: Node): void {
    for (const address of addressesOf(node)) {
      const naming = claimants.get(address) ?? new Set();
      claimants.set(address, naming.add(node));
      if (naming.size > 1) contested.add(address);
    }
  }

  return {
    sorted,
    invalid,
    claimants,
    contested,
    replace(name, before, after) {
      if (before?.ok) remove(before.value);
      if (after?.ok) add(after.value);
      if (after?.ok === false) invalid.set(name, after.reason);
      else invalid.delete(name);
      sorted.splice(placeOf(name), before?.ok ? 1 : 0, ...(after?.ok ? [after.value] : []));
    },
  };
}
