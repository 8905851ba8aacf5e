// Short functions for the objects that tests are made of.
import type { Field, NftChain, NftElement, NftRule, NftSet, NftTable, Statement, Verdict } from '../objects.ts';
import { networkOrder } from '../types.ts';

export const bytes = (...numbers: readonly number[]): Uint8Array => Uint8Array.from(numbers);
export const match = (field: Field, value: Uint8Array, negate = false): Statement => ({ is: 'match', field, value, ...(negate ? { negate } : {}) });
export const verdict = (value: Verdict): Statement => ({ is: 'verdict', ...value });
export const rule = (...statements: readonly Statement[]): NftRule => ({ statements });
export const port = (number: number): Uint8Array => networkOrder(number, 2);
export const protocol = (number: number): Statement => match('meta l4proto', bytes(number));
export const linkLocal = bytes(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

export function tableOf(
  family: NftTable['family'],
  name: string,
  chains: readonly NftChain[],
  sets: readonly { readonly set: NftSet; readonly elements: readonly NftElement[] }[] = [],
): NftTable {
  return { family, name, chains: new Map(chains.map((chain) => [chain.name, chain])), sets: new Map(sets.map((entry) => [entry.set.name, entry])) };
}
