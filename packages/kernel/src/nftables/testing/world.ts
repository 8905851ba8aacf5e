// The environment of the contract's tests: a kernel of their own, small objects, and comparable readings.
import { addressBytes } from '@calico-openstack/addresses';
import { afterEach, beforeEach } from 'vitest';
import { definitionText, hookText } from '../difference.ts';
import type { NftChain, NftElement, NftSet, NftTable, TableFamily } from '../objects.ts';
import { elementId, type Held } from '../operations.ts';
import type { TableKernel } from '../programmer.ts';
import { encodeRule } from '../rules.ts';
import { NftablesError, type TableProgrammer } from '../table.ts';
import { interfaceName } from '../types.ts';
import { match, rule, verdict } from './values.ts';

/** A kernel of its own for each test, with programmers of one table, and the same table as another program reads and changes it. */
export type World = {
  open(family: TableFamily, name: string): { readonly table: TableProgrammer; readonly others: TableKernel };
  /** How many runs a property test gets. */
  readonly runs: number;
};

export const accept = verdict({ verdict: 'accept' });
export const drop = verdict({ verdict: 'drop' });
export const hook = { type: 'filter', hook: 'forward', priority: 0, policy: 'accept' } as const;
export const base: NftChain = { name: 'base', hook, rules: [rule(verdict({ verdict: 'jump', chain: 'one' }))] };
export const one: NftChain = { name: 'one', rules: [rule(match('ip saddr', addressBytes('10.0.0.1')), drop), { statements: [accept], comment: 'the rest' }] };
export const addresses: NftSet = { name: 'addresses', key: ['ipv4_addr'] };
export const nets: NftSet = { name: 'nets', key: ['ipv4_addr'], interval: true };
export const dispatch: NftSet = { name: 'dispatch', key: ['ifname'], data: 'verdict' };
export const numbers: NftSet = { name: 'numbers', key: ['ifname'], data: 'mark' };
export const key = (text: string): NftElement => ({ key: addressBytes(text) });
export const range = (first: string, last: string): NftElement => ({ key: addressBytes(first), keyEnd: addressBytes(last) });
export const to = (device: string, chain: string): NftElement => ({ key: interfaceName(device), verdict: { verdict: 'goto', chain } });

/** Makes a programmer want this table. What `before` has and this table lacks is removed. */
export function want(table: TableProgrammer, wanted: NftTable, before?: NftTable): void {
  for (const { set, elements } of wanted.sets.values()) table.setSet(set, elements);
  for (const chain of wanted.chains.values()) table.setChain(chain);
  for (const name of before?.chains.keys() ?? []) if (!wanted.chains.has(name)) table.removeChain(name);
  for (const name of before?.sets.keys() ?? []) if (!wanted.sets.has(name)) table.removeSet(name);
}

/** The comparable content of a reading. */
export function plain(held: Held): unknown {
  const chains = [...held.chains].map(([name, chain]) => [name, chain.hook, chain.rules.map((encoded) => Buffer.from(encoded ?? []).toString('hex'))] as const);
  const sets = [...held.sets].map(([name, set]) => [name, set.definition, [...set.elements.values()].map(plainElement).sort()] as const);
  return { chains: chains.sort(byName), sets: sets.sort(byName), leftovers: held.leftovers };
}

/** The comparable content of a wanted table. */
export function plainOf(table: NftTable): unknown {
  const chains = new Map(
    [...table.chains].map(([name, chain]) => [name, { hook: hookText(chain), rules: chain.rules.map((some) => encodeRule(table.family, some)) }]),
  );
  const sets = new Map(
    [...table.sets].map(([name, { set, elements }]) => [
      name,
      { definition: definitionText(set), elements: new Map(elements.map((element) => [elementId(element), element])) },
    ]),
  );
  return plain({ generation: 0, table: true, chains, sets, leftovers: [] });
}

const byName = (left: readonly [string, ...unknown[]], right: readonly [string, ...unknown[]]): number => (left[0] < right[0] ? -1 : 1);
const plainElement = ({ key: first, keyEnd, data, verdict: given }: NftElement): string =>
  JSON.stringify([hex(first), hex(keyEnd ?? first), data === undefined ? '' : hex(data), given ?? '']);
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex');

/** Calls `act` and returns the NftablesError that it throws. */
export function refusalOf(act: () => unknown): NftablesError {
  try {
    act();
  } catch (error) {
    if (error instanceof NftablesError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

export type Opened = ReturnType<World['open']>;
export type UsedWorld = {
  open(family: TableFamily, name: string): Opened;
  /** A programmer whose table in the kernel holds `wanted`. */
  programmed(wanted: NftTable): Opened;
  readonly runs: () => number;
};

/** Makes a new world for each test of the suite that calls this. */
export function useWorld(makeWorld: () => World & { close(): void }): UsedWorld {
  let world: World & { close(): void };
  beforeEach(() => {
    world = makeWorld();
  });
  afterEach(() => world.close());
  return {
    open: (family, name) => world.open(family, name),
    programmed(wanted) {
      const opened = world.open(wanted.family, wanted.name);
      want(opened.table, wanted);
      opened.table.apply();
      return opened;
    },
    runs: () => world.runs,
  };
}
