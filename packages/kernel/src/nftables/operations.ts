// The steps of a transaction, as values; and what a table holds, as far as it is to be compared.
import type { NftChain, NftElement, NftSet } from './objects.ts';

/** In a transaction's order. What makes or fills something names the whole value, what takes away needs names only. */
export type Operation =
  /** `owned`: only the socket that makes it may change it, until that is closed; then it stays, and the next may have it (Linux 6.9). */
  | { readonly verb: 'add table'; readonly owned?: boolean }
  | { readonly verb: 'delete table' }
  | { readonly verb: 'delete elements'; readonly set: NftSet; readonly elements: readonly NftElement[] }
  | { readonly verb: 'flush chain'; readonly chain: string }
  | { readonly verb: 'delete set'; readonly set: string }
  | { readonly verb: 'delete chain'; readonly chain: string }
  /** A stateful object (a counter with a name, for example): others' things, which no part of ours makes. */
  | { readonly verb: 'delete object'; readonly object: string; readonly kind: number }
  | { readonly verb: 'add set'; readonly set: NftSet }
  /** Without its rules. */
  | { readonly verb: 'add chain'; readonly chain: NftChain }
  /** `encoded` are `rules` as encodeRule gives them. */
  | { readonly verb: 'add rules'; readonly chain: NftChain; readonly encoded: readonly Uint8Array[] }
  | { readonly verb: 'add elements'; readonly set: NftSet; readonly elements: readonly NftElement[] };

/** Elements go (they may jump), rules go, sets go, chains go, and objects; then sets come, chains, rules, and elements. */
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

/** In an order in which every operation finds what it needs, and nothing that one takes away is still in use. */
export const inOrder = (operations: readonly Operation[]): readonly Operation[] =>
  operations.toSorted((one, other) => (rank.get(one.verb) ?? 0) - (rank.get(other.verb) ?? 0));

/** A chain as the kernel has it. `hook`: printHook's words, '' for a regular chain. A rule that is undefined holds something that this program never writes. */
export type HeldChain = { readonly hook: string; readonly rules: readonly (Uint8Array | undefined)[] };

/** A set as the kernel has it. `definition`: printDefinition's words, or what no definition is. Elements by elementId. */
export type HeldSet = { readonly definition: string; readonly elements: ReadonlyMap<string, NftElement> };

/** What was read. `generation`: the ruleset's, which every transaction of anybody in this network namespace moves on. */
export type Held = {
  readonly generation: number;
  /** False: there is no such table, or it is switched off. */
  readonly table: boolean;
  readonly chains: ReadonlyMap<string, HeldChain>;
  readonly sets: ReadonlyMap<string, HeldSet>;
  /** Operations that take away what no part of ours makes. */
  readonly leftovers: readonly Operation[];
};

/** What an element is known by in its set: its (first) key. */
export const elementId = (element: NftElement): string => Buffer.from(element.key.buffer, element.key.byteOffset, element.key.length).toString('latin1');

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

export function sameRules(held: readonly (Uint8Array | undefined)[], wanted: readonly Uint8Array[]): boolean {
  return held.length === wanted.length && wanted.every((rule, at) => held[at] !== undefined && sameBytes(held[at], rule));
}
