// Refuses objects that could never be programmed, when they are set and before anything is sent to the kernel.

import { unreachable } from '@calico-openstack/agent/errors';
import { compileRule } from './compile.ts';
import { fieldFacts } from './fields.ts';
import { sizeProblem } from './limits.ts';
import type { NftChain, NftElement, NftSet, Statement, TableFamily } from './objects.ts';
import { printElement } from './print.ts';
import { hookNumber } from './protocol.ts';
import { RuleProblem } from './rule-builder.ts';
import { encodeExpressions } from './rules.ts';
import { NftablesError } from './table.ts';
import { nameProblem } from './text.ts';
import { isHostOrder, widthOf } from './types.ts';

const longestKeyBytes = 64;
const longestDataBytes = 64;

/** The error for an object that cannot be programmed. `detail` is the second half of a sentence. */
export function invalid(object: string, detail: string): NftablesError {
  return new NftablesError(`${object} ${detail}`, [{ code: 'INVALID', object, detail }]);
}

/** Checks a chain and returns its rules in encodeRule's form. Throws NftablesError (INVALID) when it cannot be programmed. */
export function checkedRules(family: TableFamily, chain: NftChain): readonly Uint8Array[] {
  const object = `chain ${chain.name}`;
  checkName(object, chain.name);
  if (chain.hook !== undefined) {
    const { hook, device } = chain.hook;
    if (hookNumber(family, hook) === undefined) throw invalid(object, `wants the hook ${hook}, which the ${family} family does not have`);
    if ((hook === 'ingress') !== (device !== undefined)) throw invalid(object, 'needs a device with the hook ingress, and with no other');
  }
  return chain.rules.map((rule, at) => {
    try {
      const expressions = compileRule(family, rule.statements);
      const problem = sizeProblem(expressions);
      if (problem !== undefined) throw new RuleProblem(problem);
      return encodeExpressions(expressions, rule.comment);
    } catch (error) {
      if (!(error instanceof RuleProblem || error instanceof RangeError)) throw error;
      throw invalid(object, `has a rule (the ${at + 1}. of ${chain.rules.length}) that ${error.message}`);
    }
  });
}

/** Throws NftablesError (INVALID) when the set cannot be programmed. */
export function checkSet(set: NftSet): void {
  const object = `set ${set.name}`;
  checkName(object, set.name);
  if (set.key.length === 0) throw invalid(object, 'has no key');
  const width = set.key.reduce((sum, type) => sum + ((widthOf(type) + 3) & ~3), 0);
  if (width > longestKeyBytes || set.key.length > 5)
    throw invalid(object, `has a key of ${set.key.length} parts and ${width} bytes: 5 and ${longestKeyBytes} at most`);
  if (set.data !== undefined && set.data !== 'verdict' && widthOf(set.data) > longestDataBytes) throw invalid(object, 'has data that no register holds');
  if (set.interval && set.key.length > 1) throw invalid(object, 'is to hold ranges of a concatenation, which this driver does not write');
  if (set.interval && set.key.some(isHostOrder))
    throw invalid(object, 'is to hold ranges of numbers in host order, which the kernel does not compare as numbers');
  checkLimit(set);
}

function checkLimit({ name, data, interval, limit }: NftSet): void {
  if (limit === undefined) return;
  if (data !== undefined || interval) throw invalid(`set ${name}`, 'is to have a limit for each element, which only a set of single keys can have');
  const { rate, burst } = limit;
  const isCount = (number: number): boolean => Number.isInteger(number) && number > 0 && number < 2 ** 32;
  if (!isCount(rate) || !isCount(burst))
    throw invalid(`set ${name}`, `is to have a limit of ${rate} with a burst of ${burst}: both must be whole and at least 1`);
}

/** Throws NftablesError (INVALID) when the element does not fit into the set. */
export function checkElement(set: NftSet, element: NftElement): void {
  const width = set.key.reduce((sum, type) => sum + widthOf(type), 0);
  if (element.key.length !== width || (element.keyEnd !== undefined && element.keyEnd.length !== width)) {
    throw invalid(`set ${set.name}`, `is given a key of ${element.key.length} bytes where its type has ${width}`);
  }
  if (element.keyEnd !== undefined && !set.interval) throw complaint(set, element, 'is a range, and the set holds none');
  if (element.keyEnd !== undefined && Buffer.compare(element.key, element.keyEnd) > 0) throw complaint(set, element, 'ends before it starts');
  if ((element.verdict !== undefined) !== (set.data === 'verdict')) throw complaint(set, element, 'must have a verdict just when the map holds verdicts');
  const dataWidth = set.data === undefined || set.data === 'verdict' ? undefined : widthOf(set.data);
  if (element.data?.length !== dataWidth)
    throw complaint(set, element, `has ${element.data?.length ?? 'no'} bytes of data where the set holds ${dataWidth ?? 'none'}`);
  if (element.verdict !== undefined && 'chain' in element.verdict) checkName(`set ${set.name}`, element.verdict.chain);
}

const complaint = (set: NftSet, element: NftElement, detail: string): NftablesError => invalid(`element ${set.name} { ${printElement(set, element)} }`, detail);

function checkName(object: string, name: string): void {
  const problem = nameProblem(name);
  if (problem !== undefined) throw invalid(JSON.stringify(object), problem);
}

/**
 * Checks that each rule looks its fields up in sets of exactly those types: the kernel compares bytes only, and would accept a protocol for a port. The kernel itself refuses
 * lookups in missing sets. Throws NftablesError (INVALID).
 */
export function checkLookups(chain: NftChain, setOf: (name: string) => NftSet | undefined): void {
  for (const rule of chain.rules)
    for (const statement of rule.statements) for (const lookup of lookupsOf(statement)) check(chain.name, lookup, setOf(lookup.set));
}

type Lookup = { readonly set: string; readonly key: readonly string[]; readonly data: string | undefined; readonly negate?: boolean | undefined };

/** The sets and maps that a statement uses, with the types of the key and of the data that it expects. */
export function lookupsOf(statement: Statement): readonly Lookup[] {
  switch (statement.is) {
    case 'in-set':
      return [{ set: statement.set, key: typesOf(statement.fields), data: undefined, negate: statement.negate }];
    case 'verdict-map':
      if (statement.via === undefined) return [{ set: statement.map, key: typesOf(statement.fields), data: 'verdict' }];
      return [
        { set: statement.via, key: typesOf(statement.fields), data: 'mark' },
        { set: statement.map, key: ['mark'], data: 'verdict' },
      ];
    case 'nat-map':
      return [{ set: statement.map, key: typesOf(statement.fields), data: statement.family === 4 ? 'ipv4_addr' : 'ipv6_addr' }];
    case 'match':
    case 'masked':
    case 'range':
    case 'counter':
    case 'log':
    case 'limit':
    case 'connections-over':
    case 'set-mark':
    case 'notrack':
    case 'nat':
    case 'masquerade':
    case 'reject':
    case 'verdict':
      return [];
    default:
      return unreachable(statement);
  }
}

const typesOf = (fields: readonly Parameters<typeof fieldFacts>[0][]): string[] => fields.map((field) => fieldFacts(field).type ?? 'a plain number');

function check(chain: string, { set: name, key, data, negate }: Lookup, set: NftSet | undefined): void {
  if (set === undefined) return;
  if (negate && set.limit !== undefined) throw invalid(`chain ${chain}`, `asks what is not in ${name}, whose elements are there only beyond their limits`);
  if (key.join(' . ') !== set.key.join(' . ')) {
    throw invalid(`chain ${chain}`, `looks for ${key.join(' . ')} in the set ${name}, which holds ${set.key.join(' . ')}`);
  }
  if (set.data !== data) throw invalid(`chain ${chain}`, `takes ${data ?? 'nothing'} out of ${name}, which holds ${set.data ?? 'nothing'} for its keys`);
}
