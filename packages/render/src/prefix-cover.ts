// A set of prefixes, any of which may lie in others, as the prefixes that interval sets can hold: none within another.
import { addressBits, addressBytes, addressOf, type Cidr, type IpFamily, prefixLength } from '@calico-openstack/datamodel';

type Node = { cidr: Cidr | undefined; children: [Node | undefined, Node | undefined] };
const leaf = (): Node => ({ cidr: undefined, children: [undefined, undefined] });

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
    const { node, hidden } = this.#walk(cidr, true);
    if (!node || node.cidr) return { shown: [], hidden: [] };
    node.cidr = cidr;
    this.#size += 1;
    return hidden ? { shown: [], hidden: [] } : { shown: [cidr], hidden: topsBelow(node) };
  }

  remove(cidr: Cidr): CoverChange {
    const { node, hidden, path } = this.#walk(cidr, false);
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

  #walk(cidr: Cidr, make: boolean): { readonly node: Node | undefined; readonly hidden: boolean; readonly path: readonly [Node, 0 | 1][] } {
    const bytes = addressBytes(addressOf(cidr));
    const length = Math.min(prefixLength(cidr), this.#bits);
    const path: [Node, 0 | 1][] = [];
    let node = this.#root;
    let hidden = false;
    for (let index = 0; index < length; index += 1) {
      if (node.cidr) hidden = true;
      const side = ((bytes[index >> 3]! >> (7 - (index & 7))) & 1) as 0 | 1;
      path.push([node, side]);
      let next = node.children[side];
      if (!next) {
        if (!make) return { node: undefined, hidden, path };
        next = leaf();
        node.children[side] = next;
      }
      node = next;
    }
    return { node, hidden, path };
  }
}

/** The highest members strictly below a node. */
function topsBelow(node: Node): Cidr[] {
  const tops: Cidr[] = [];
  const waiting = [...node.children];
  while (waiting.length > 0) {
    const next = waiting.pop();
    if (next?.cidr) tops.push(next.cidr);
    else if (next) waiting.push(...next.children);
  }
  return tops;
}

function prune(path: readonly [Node, 0 | 1][]): void {
  for (const [parent, side] of [...path].reverse()) {
    const child = parent.children[side];
    if (child && (child.cidr || child.children[0] || child.children[1])) return;
    parent.children[side] = undefined;
  }
}
