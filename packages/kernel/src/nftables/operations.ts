// The operations of a transaction, and the content of a table in the form in which it is compared.
import type { NftChain, NftElement, NftSet } from './objects.ts';

/** An operation of a transaction, in the order in which they must come. Operations that create or fill something have the whole value; those that delete need only names. */
export type Operation =
  /** `owned`: until the socket that creates the table is closed, only that socket may change it. After that the table stays, and the next socket may own it (Linux 6.9). */
  | { readonly verb: 'add table'; readonly owned?: boolean }
  | { readonly verb: 'delete table' }
  | { readonly verb: 'delete elements'; readonly set: NftSet; readonly elements: readonly NftElement[] }
  | { readonly verb: 'flush chain'; readonly chain: string }
  | { readonly verb: 'delete set'; readonly set: string }
  | { readonly verb: 'delete chain'; readonly chain: string }
  /** Deletes a stateful object, for example a named counter. This program never creates one. */
  | { readonly verb: 'delete object'; readonly object: string; readonly kind: number }
  | { readonly verb: 'add set'; readonly set: NftSet }
  /** Creates a chain without its rules. */
  | { readonly verb: 'add chain'; readonly chain: NftChain }
  /** `encoded` are the chain's rules in encodeRule's form. */
  | { readonly verb: 'add rules'; readonly chain: NftChain; readonly encoded: readonly Uint8Array[] }
  | { readonly verb: 'add elements'; readonly set: NftSet; readonly elements: readonly NftElement[] };

/** Deletions come first: elements (they may jump to chains), rules, sets, chains, objects. Then additions: sets, chains, rules, elements. */
const order: readonly Operation['verb'][] = [
  'delete table',
  'add table',
  'delete elements',
  'flush chain',
  'delete set',
  'delete chain',
  'delete object',
  'add set',
  'add chain',
  'add rules',
  'add elements',
];
const rank = new Map(order.map((verb, at) => [verb, at]));

/** Sorts operations so that every one finds what it needs, and nothing that one deletes is still in use. */
export const inOrder = (operations: readonly Operation[]): readonly Operation[] =>
  operations.toSorted((one, other) => (rank.get(one.verb) ?? 0) - (rank.get(other.verb) ?? 0));

/** A chain in the kernel. `hook` is printHook's text, '' for a regular chain. A rule is undefined when it has something that this program never writes. */
export type HeldChain = { readonly hook: string; readonly rules: readonly (Uint8Array | undefined)[] };

/** A set in the kernel. `definition` is printDefinition's text, or some other text when NftSet cannot express the set. The elements are keyed by elementId. */
export type HeldSet = { readonly definition: string; readonly elements: ReadonlyMap<string, NftElement> };

/** The content of a table as it was read. `generation` is that of the whole ruleset: every transaction in this network namespace, by anybody, increases it. */
export type Held = {
  readonly generation: number;
  /** False when there is no such table, or it is switched off. */
  readonly table: boolean;
  readonly chains: ReadonlyMap<string, HeldChain>;
  readonly sets: ReadonlyMap<string, HeldSet>;
  /** Operations that delete objects of kinds that this program never creates. */
  readonly leftovers: readonly Operation[];
};

/**
 * Identifies an element within its set: by its key, or the first key of its range.
 * The key's `buffer` is not touched: V8 keeps few bytes within the typed array, and makes an ArrayBuffer of 200 bytes beside it, for ever, when `buffer` is read.
 */
export const elementId = ({ key }: NftElement): string => String.fromCharCode(...key);

/** An element that is nothing but its key, which it makes from its id when somebody reads it. It takes a tenth of the memory of an element with its bytes. */
class KeyElement {
  readonly #id: string;

  constructor(id: string) {
    this.#id = id;
  }

  get key(): Uint8Array {
    const key = new Uint8Array(this.#id.length);
    for (let index = 0; index < key.length; index += 1) key[index] = this.#id.charCodeAt(index);
    return key;
  }
}

/** The form in which an element is held for long. A host has a hundred thousand addresses in its sets. @param id its elementId */
export function heldElement(id: string, element: NftElement): NftElement {
  const isKeyAlone = element.keyEnd === undefined && element.data === undefined && element.verdict === undefined;
  return isKeyAlone && !(element instanceof KeyElement) ? new KeyElement(id) : element;
}

/** Whether two elements have the same key, range, data and verdict. */
export function sameElement(one: NftElement, other: NftElement): boolean {
  return (
    one === other ||
    (sameBytes(one.key, other.key) && sameBytes(lastKey(one), lastKey(other)) && sameBytes(one.data, other.data) && verdictText(one) === verdictText(other))
  );
}

const lastKey = (element: NftElement): Uint8Array => element.keyEnd ?? element.key;
const sameBytes = (one: Uint8Array | undefined, other: Uint8Array | undefined): boolean =>
  one === other || (one !== undefined && other !== undefined && Buffer.compare(one, other) === 0);

function verdictText({ verdict }: NftElement): string {
  if (verdict === undefined) return '';
  return 'chain' in verdict ? `${verdict.verdict} ${verdict.chain}` : verdict.verdict;
}

/** Whether a chain's rules in the kernel are the wanted ones. */
export function sameRules(held: readonly (Uint8Array | undefined)[], wanted: readonly Uint8Array[]): boolean {
  return held.length === wanted.length && wanted.every((rule, at) => held[at] !== undefined && sameBytes(held[at], rule));
}
