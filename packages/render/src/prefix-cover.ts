// A set of prefixes, any of which may lie in others, as the prefixes that interval sets can hold: none within another.
import { addressBits, addressBytes, addressOf, type Cidr, type IpFamily, prefixLength } from '@calico-openstack/datamodel';

/** There are as many as all prefixes have bits: small, and made with all their fields. */
type Node = { cidr: Cidr | undefined; zero: Node | undefined; one: Node | undefined };
const leaf = (): Node => ({ cidr: undefined, zero: undefined, one: undefined });

/** What the cover gained and lost. */
export type CoverChange = { readonly shown: Cidr[]; readonly hidden: Cidr[] };

/**
 * A binary trie of one family. A member is shown when no other member contains it. Cost of a change: the prefix length, and the number of prefixes that it hides or bares.
 */
export class PrefixCover {
  readonly #bits: number;
  #root = leaf();
  #size = 0;

  constructor(family: IpFamily) {
    this.#bits = addressBits(family);
  }

  get size(): number {
    return this.#size;
  }

  add(cidr: Cidr): CoverChange {
    const { node, hidden } = this.#make(cidr);
    if (node.cidr) return { shown: [], hidden: [] };
    node.cidr = cidr;
    this.#size += 1;
    return hidden ? { shown: [], hidden: [] } : { shown: [cidr], hidden: topsBelow(node) };
  }

  remove(cidr: Cidr): CoverChange {
    const { node, hidden, path } = this.#find(cidr);
    if (!node?.cidr) return { shown: [], hidden: [] };
    node.cidr = undefined;
    this.#size -= 1;
    const bared = hidden ? [] : topsBelow(node);
    prune(path);
    return hidden ? { shown: [], hidden: [] } : { shown: bared, hidden: [cidr] };
  }

  /** The members that no other contains. */
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

/** The highest members strictly below a node. */
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

/** @param path from the root to above the node whose member went */
function prune(path: readonly Node[]): void {
  const isEmpty = (node: Node | undefined): boolean => node !== undefined && !node.cidr && !node.zero && !node.one;
  for (const parent of path.toReversed()) {
    if (isEmpty(parent.zero)) parent.zero = undefined;
    else if (isEmpty(parent.one)) parent.one = undefined;
    else return;
  }
}
