// A table in memory for the tests of code that programs tables. It refuses what the kernel refuses, and evaluates described packets.
import { unreachable } from '@calico-openstack/agent/errors';
import { definitionText, hookText } from './difference.ts';
import { evaluate, type Outcome, type Packet, type Traffic } from './evaluate.ts';
import type { Hook, NftChain, NftElement, NftRule, NftSet, NftTable, Statement, TableFamily, Verdict } from './objects.ts';
import { elementId, type Held, type Operation, sameElement } from './operations.ts';
import { printOperation } from './print.ts';
import { createTableProgrammer, type TableKernel } from './programmer.ts';
import type { OpenTable } from './table.netlink.ts';
import { NftablesError, type TableProgrammer } from './table.ts';
import { lookupsOf } from './validate.ts';

type FakeChain = { readonly chain: NftChain; readonly rules: readonly NftRule[]; readonly encoded: readonly Uint8Array[] };
type FakeSet = { readonly set: NftSet; readonly elements: ReadonlyMap<string, NftElement> };
type State = { table: boolean; readonly chains: Map<string, FakeChain>; readonly sets: Map<string, FakeSet> };

/** The kernel behind a fake table. */
export type FakeKernel = TableKernel & {
  /** The present content. */
  readonly content: () => NftTable;
  /** The transactions that were committed. */
  readonly commits: (readonly Operation[])[];
  /** Makes the kernel refuse the next transaction with this code. */
  refuseNext(code: string): void;
  /** Refuses every transaction with this code until it is called without one. */
  refuseAll(code?: string): void;
  /** Runs a function before the next transaction, as another program's transaction would come in between. */
  beforeNext(interfere: () => void): void;
};

/** A fake table and its kernel. */
export type FakeTable = {
  readonly table: TableProgrammer;
  readonly kernel: FakeKernel;
  /** Evaluates a packet at this hook under what was applied. */
  evaluate(hook: Hook['hook'], packet: Packet, traffic?: Traffic): Outcome;
};

/** A table programmer on an empty fake kernel. */
export function fakeTable(family: TableFamily = 'inet', name = 'fake'): FakeTable {
  const kernel = fakeKernel(family, name);
  return { table: createTableProgrammer(family, name, kernel), kernel, evaluate: (hook, packet, traffic) => evaluate(kernel.content(), hook, packet, traffic) };
}

/** An open table, and the fake kernel under it. */
export type FakeOpenTable = { readonly table: OpenTable; readonly kernel: FakeKernel };

/** A table like that of `openTable`, on a kernel in memory. */
export function fakeOpenTable(family: TableFamily, name: string): FakeOpenTable {
  const { table, kernel } = fakeTable(family, name);
  const open = {
    close: () => undefined,
    portId: () => undefined,
    exists: () => kernel.read().table,
    hasRules: (chain: string) => (kernel.read().chains.get(chain)?.rules.length ?? 0) > 0,
    elementsOf: ({ name }: NftSet) => kernel.read().sets.get(name)?.elements.values() ?? [],
  };
  return { table: Object.assign(table, open), kernel };
}

class Refused extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/** An empty fake kernel. */
export function fakeKernel(family: TableFamily, name: string): FakeKernel {
  let state: State = { table: false, chains: new Map(), sets: new Map() };
  let generation = 1;
  let nextRefusal: string | undefined;
  let lastingRefusal: string | undefined;
  let interference: (() => void) | undefined;
  const commits: (readonly Operation[])[] = [];

  function read(): Held {
    const chains = new Map([...state.chains].map(([key, { chain, encoded }]) => [key, { hook: hookText(chain), rules: encoded }]));
    const sets = new Map([...state.sets].map(([key, { set, elements }]) => [key, { definition: definitionText(set), elements }]));
    return { generation, table: state.table, chains, sets, leftovers: [] };
  }

  function refuse(code: string, object: string): never {
    throw new NftablesError(`the kernel refused to change table ${family} ${name} (nothing was changed): ${object}: ${code}`, [{ code, object }]);
  }

  function commit(operations: readonly Operation[], wanted?: number): { readonly bytes: number } {
    interference?.();
    const code = nextRefusal ?? lastingRefusal;
    if (code !== undefined) {
      nextRefusal = undefined;
      refuse(code, `table ${family} ${name}`);
    }
    if (wanted !== undefined && wanted !== generation) refuse('ERESTART', `table ${family} ${name}`);
    const next: State = { table: state.table, chains: new Map(state.chains), sets: new Map(state.sets) };
    for (const operation of operations) {
      try {
        perform(next, operation);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        refuse(error.code, printOperation(family, name, operation));
      }
    }
    const circle = checkJumps(next);
    if (circle !== undefined) refuse(circle, `table ${family} ${name}`);
    state = next;
    generation++;
    commits.push(operations);
    return { bytes: 0 };
  }

  return {
    read,
    commit,
    commits,
    content: () => ({
      family,
      name,
      chains: new Map([...state.chains].map(([key, { chain, rules }]) => [key, { ...chain, rules }])),
      sets: new Map([...state.sets].map(([key, { set, elements }]) => [key, { set, elements: [...elements.values()] }])),
    }),
    refuseNext(code) {
      nextRefusal = code;
    },
    refuseAll(code) {
      lastingRefusal = code;
    },
    beforeNext(interfere) {
      interference = () => {
        interference = undefined;
        interfere();
      };
    },
  };
}

function perform(state: State, operation: Operation): void {
  switch (operation.verb) {
    case 'add table':
      state.table = true;
      return;
    case 'delete table':
      state.table = false;
      state.chains.clear();
      state.sets.clear();
      return;
    case 'add set':
      if (!state.table) throw new Refused('ENOENT');
      if (state.sets.has(operation.set.name)) throw new Refused('EEXIST');
      state.sets.set(operation.set.name, { set: operation.set, elements: new Map() });
      return;
    case 'delete set':
      setOf(state, operation.set);
      if (rulesIn(state).some((rule) => setsOf(rule).includes(operation.set))) throw new Refused('EBUSY');
      state.sets.delete(operation.set);
      return;
    case 'add chain':
      if (!state.table) throw new Refused('ENOENT');
      if (state.chains.has(operation.chain.name)) throw new Refused('EEXIST');
      state.chains.set(operation.chain.name, { chain: operation.chain, rules: [], encoded: [] });
      return;
    case 'flush chain': {
      const { chain } = chainOf(state, operation.chain);
      state.chains.set(operation.chain, { chain, rules: [], encoded: [] });
      return;
    }
    case 'delete chain':
      chainOf(state, operation.chain);
      if (isJumpedTo(state, operation.chain)) throw new Refused('EBUSY');
      state.chains.delete(operation.chain);
      return;
    case 'add rules': {
      const { chain, rules, encoded } = chainOf(state, operation.chain.name);
      for (const rule of operation.chain.rules) checkRule(state, rule);
      state.chains.set(chain.name, { chain, rules: [...rules, ...operation.chain.rules], encoded: [...encoded, ...operation.encoded] });
      return;
    }
    case 'add elements':
      addElements(state, operation.set.name, operation.elements);
      return;
    case 'delete elements':
      deleteElements(state, operation.set.name, operation.elements);
      return;
    case 'delete object':
      throw new Refused('ENOENT'); // a fake kernel never has objects
    default:
      unreachable(operation);
  }
}

function chainOf(state: State, name: string): FakeChain {
  const chain = state.chains.get(name);
  if (chain === undefined) throw new Refused('ENOENT');
  return chain;
}

function setOf(state: State, name: string): FakeSet {
  const set = state.sets.get(name);
  if (set === undefined) throw new Refused('ENOENT');
  return set;
}

const rulesIn = (state: State): NftRule[] => [...state.chains.values()].flatMap(({ rules }) => rules);
const setsOf = (rule: NftRule): string[] => rule.statements.flatMap((statement) => lookupsOf(statement).map(({ set }) => set));
const jumpOf = (verdict: Verdict | undefined): string[] => (verdict !== undefined && 'chain' in verdict ? [verdict.chain] : []);
const jumpsOf = (rule: NftRule): string[] => rule.statements.flatMap((statement) => (statement.is === 'verdict' ? jumpOf(statement) : []));

function isJumpedTo(state: State, name: string): boolean {
  if (rulesIn(state).some((rule) => jumpsOf(rule).includes(name))) return true;
  return [...state.sets.values()].some(({ elements }) => [...elements.values()].some(({ verdict }) => jumpOf(verdict).includes(name)));
}

function checkTarget(state: State, name: string): void {
  if (chainOf(state, name).chain.hook !== undefined) throw new Refused('EOPNOTSUPP');
}

function checkRule(state: State, rule: NftRule): void {
  for (const name of jumpsOf(rule)) checkTarget(state, name);
  for (const statement of rule.statements) {
    for (const lookup of lookupsOf(statement)) {
      const { data } = setOf(state, lookup.set).set;
      const fits = (lookup.data === undefined) === (data === undefined) && (lookup.data === 'verdict') === (data === 'verdict');
      if (!fits) throw new Refused('EINVAL');
    }
  }
}

function addElements(state: State, name: string, elements: readonly NftElement[]): void {
  const { set, elements: before } = setOf(state, name);
  const after = new Map(before);
  for (const element of elements) {
    for (const chain of jumpOf(element.verdict)) checkTarget(state, chain);
    const had = after.get(elementId(element));
    if (had !== undefined && !sameElement(had, element)) throw new Refused('EEXIST');
    if (had === undefined && set.interval && [...after.values()].some((other) => overlap(other, element))) throw new Refused('EEXIST');
    after.set(elementId(element), element);
  }
  state.sets.set(name, { set, elements: after });
}

function deleteElements(state: State, name: string, elements: readonly NftElement[]): void {
  const { set, elements: before } = setOf(state, name);
  const after = new Map(before);
  for (const element of elements) if (!after.delete(elementId(element))) throw new Refused('ENOENT');
  state.sets.set(name, { set, elements: after });
}

const overlap = (one: NftElement, other: NftElement): boolean =>
  Buffer.compare(one.key, other.keyEnd ?? other.key) <= 0 && Buffer.compare(other.key, one.keyEnd ?? one.key) <= 0;

/** The kernel's limit on the depth of jumps. After a change the kernel follows every path from every base chain. */
const deepestJump = 16;

/** The code with which the kernel refuses the result of a transaction: for chains that form a circle or are too deep, and for statements in a wrong hook. */
function checkJumps(state: State): string | undefined {
  for (const { chain } of state.chains.values()) {
    const problem = chain.hook === undefined ? undefined : follow(state, chain.name, chain.hook, 0);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function follow(state: State, name: string, hook: Hook, depth: number): string | undefined {
  if (depth >= deepestJump) return 'EMLINK';
  for (const rule of state.chains.get(name)?.rules ?? []) {
    for (const statement of rule.statements) {
      if (isMisplaced(statement, hook)) return 'EOPNOTSUPP';
      for (const next of targetsOf(state, statement)) {
        const problem = follow(state, next, hook, depth + 1);
        if (problem !== undefined) return problem;
      }
    }
  }
  return undefined;
}

function targetsOf(state: State, statement: Statement): string[] {
  if (statement.is === 'verdict') return jumpOf(statement);
  if (statement.is !== 'verdict-map') return [];
  return [...new Set([...(state.sets.get(statement.map)?.elements.values() ?? [])].flatMap(({ verdict }) => jumpOf(verdict)))];
}

function isMisplaced(statement: Statement, { type, hook }: Hook): boolean {
  switch (statement.is) {
    case 'nat':
    case 'nat-map':
      return type !== 'nat' || (statement.kind === 'dnat' ? hook !== 'prerouting' && hook !== 'output' : hook !== 'postrouting' && hook !== 'input');
    case 'masquerade':
      return type !== 'nat' || hook !== 'postrouting';
    case 'reject':
      return hook === 'postrouting';
    case 'match':
    case 'masked':
    case 'range':
    case 'in-set':
    case 'verdict-map':
    case 'counter':
    case 'log':
    case 'limit':
    case 'connections-over':
    case 'set-mark':
    case 'notrack':
    case 'verdict':
      return false;
    default:
      return unreachable(statement);
  }
}
