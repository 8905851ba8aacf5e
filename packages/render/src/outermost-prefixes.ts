// The outermost of a set of prefixes: those that lie in no other. An interval set of nftables can hold these, because it takes no overlapping elements.
import { addressBits, addressBytes, addressOf, type Cidr, type IpFamily, prefixLength } from '@calico-openstack/addresses';

/** A node of the trie. There may be as many as all prefixes together have bits, so a node is small and created with all its fields. */
type Node = { cidr: Cidr | undefined; zero: Node | undefined; one: Node | undefined };
const leaf = (): Node => ({ cidr: undefined, zero: undefined, one: undefined });

/** Prefixes that became outermost (`shown`), and prefixes that ceased to be so (`hidden`). */
export type OutermostChange = { readonly shown: Cidr[]; readonly hidden: Cidr[] };

/** The prefixes of one family in a binary trie. Cost of a change: the prefix length, and the number of prefixes that it hides or shows. */
export class OutermostPrefixes {
  readonly #bits: number;
  #root = leaf();
  #size = 0;

  constructor(family: IpFamily) {
    this.#bits = addressBits(family);
  }

  /** The number of all prefixes. */
  get size(): number {
    return this.#size;
  }

  /** Adds a prefix. Nothing changes when it is there already. */
  add(cidr: Cidr): OutermostChange {
    const { node, hidden } = this.#make(cidr);
    if (node.cidr) return { shown: [], hidden: [] };
    node.cidr = cidr;
    this.#size += 1;
    return hidden ? { shown: [], hidden: [] } : { shown: [cidr], hidden: topsBelow(node) };
  }

  /** Removes a prefix. Nothing changes when it is not there. */
  remove(cidr: Cidr): OutermostChange {
    const { node, hidden, path } = this.#find(cidr);
    if (!node?.cidr) return { shown: [], hidden: [] };
    node.cidr = undefined;
    this.#size -= 1;
    const uncovered = hidden ? [] : topsBelow(node);
    prune(path);
    return hidden ? { shown: [], hidden: [] } : { shown: uncovered, hidden: [cidr] };
  }

  /** The prefixes that lie in no other. */
  shown(): Cidr[] {
    return this.#root.cidr ? [this.#root.cidr] : topsBelow(this.#root);
  }

  #make(cidr: Cidr): { readonly node: Node; readonly hidden: boolean } {
    const bytes = addressBytes(addressOf(cidr));
    const length = Math.min(prefixLength(cidr), this.#bits);
    let node = this.#root;
    let hidden = false;
    for (let index = 0; index < length; index += 1) {
      if (node.cidr) hidden = true;
      if (bitAt(bytes, index)) {
        node.one ??= leaf();
        node = node.one;
      } else {
        node.zero ??= leaf();
        node = node.zero;
      }
    }
    return { node, hidden };
  }

  #find(cidr: Cidr): { readonly node: Node | undefined; readonly hidden: boolean; readonly path: readonly Node[] } {
    const bytes = addressBytes(addressOf(cidr));
    const length = Math.min(prefixLength(cidr), this.#bits);
    const path: Node[] = [];
    let node: Node | undefined = this.#root;
    let hidden = false;
    for (let index = 0; index < length && node; index += 1) {
      if (node.cidr) hidden = true;
      path.push(node);
      node = bitAt(bytes, index) ? node.one : node.zero;
    }
    return { node, hidden, path };
  }
}

const bitAt = (bytes: Uint8Array, index: number): number => (bytes[index >> 3]! >> (7 - (index & 7))) & 1;

/** The outermost prefixes strictly below a node. */
function topsBelow(node: Node): Cidr[] {
  const tops: Cidr[] = [];
  const waiting = [node.zero, node.one];
  while (waiting.length > 0) {
    const next = waiting.pop();
    if (next?.cidr) tops.push(next.cidr);
    else if (next) waiting.push(next.zero, next.one);
  }
  return tops;
}

/** Removes the nodes that became empty. @param path the nodes from the root to the parent of the node whose prefix was removed */
function prune(path: readonly Node[]): void {
  const isEmpty = (node: Node | undefined): boolean => node !== undefined && !node.cidr && !node.zero && !node.one;
  for (const parent of path.toReversed()) {
    if (isEmpty(parent.zero)) parent.zero = undefined;
    else if (isEmpty(parent.one)) parent.one = undefined;
    else return;
  }
}
