// Evaluates a table's rules for a described packet. Tests judge rules by it, and so does the code that judges connections without a packet that the kernel could be given.
import { unreachable } from '@calico-openstack/agent/errors';
import type { Field, Hook, NftChain, NftElement, NftRule, NftTable, Statement, TableFamily, Verdict } from './objects.ts';
import { elementId } from './operations.ts';
import { printRule } from './print.ts';
import { hostNumber, hostOrder } from './types.ts';

/**
 * A packet's fields. A field that is not given is absent, and a rule with a condition on it does not match. Exceptions: an absent interface is the empty name, an absent mark is 0,
 * and protocols are derived from addresses and ICMP fields.
 */
export type Packet = ReadonlyMap<Field, Uint8Array>;

/** The state of limits during an evaluation. By default a packet is within every rate, and there are few connections. `overRate` says whether all limits are exceeded, or only those of elements of the named sets. */
export type Traffic = { readonly overRate?: boolean | readonly string[]; readonly connections?: number };

/** The result for a packet. */
export type Outcome = {
  readonly verdict: 'accept' | 'drop';
  /** The rule that decided, as nft text with its chain; or the policy. */
  readonly by: string;
  readonly rejected?: 'port-unreachable' | 'admin-prohibited' | 'tcp-reset';
  readonly mark: number;
  readonly connectionMark: number;
  readonly tracked: boolean;
  readonly translated?: { readonly kind: 'dnat' | 'snat' | 'masquerade'; readonly address?: Uint8Array; readonly port?: number };
  readonly logged: readonly string[];
};

/** The parts of a table's content that evaluation needs. */
export interface Rules {
  readonly family: TableFamily;
  chains(): Iterable<NftChain>;
  chain(name: string): NftChain | undefined;
  /** Finds the element of a set or map with this key, or whose range contains it. `limit`: whether the set's elements have limits. */
  find(set: string, key: Uint8Array): { readonly element: NftElement; readonly limit: boolean } | undefined;
}

type Flight = {
  mark: number;
  connectionMark: number;
  tracked: boolean;
  rejected?: Outcome['rejected'];
  translated?: Outcome['translated'];
  logged: string[];
  by: () => string;
};

/** Evaluates all base chains of the hook, lowest priority first, until one drops the packet. */
export function evaluate(table: NftTable, hook: Hook['hook'], packet: Packet, traffic: Traffic = {}): Outcome {
  return evaluateIn(rulesOf(table), basesAt(hook, table.chains.values()), packet, traffic);
}

/** The base chains of a hook in the order of their priorities. */
export const basesAt = (hook: Hook['hook'], chains: Iterable<NftChain>): readonly NftChain[] =>
  [...chains].filter((chain) => chain.hook?.hook === hook).sort((one, other) => (one.hook?.priority ?? 0) - (other.hook?.priority ?? 0));

/** `evaluate` for many packets: the cost depends on the rules that a packet meets, not on the size of the table. @param bases `basesAt` of these rules */
export function evaluateIn(rules: Rules, bases: readonly NftChain[], packet: Pick<Packet, 'get' | 'has'>, traffic: Traffic = {}): Outcome {
  const flight: Flight = {
    mark: numberOf(packet.get('meta mark')),
    connectionMark: numberOf(packet.get('ct mark')),
    tracked: true,
    logged: [],
    by: () => 'no chain',
  };
  const walk = walker(rules, packet, traffic, flight);
  let verdict: 'accept' | 'drop' = 'accept';
  for (const base of bases) {
    const decided = walk(base.name);
    if (decided !== 'accept' && decided !== 'drop') flight.by = () => `policy of ${base.name}`;
    verdict = decided === 'accept' || decided === 'drop' ? decided : (base.hook?.policy ?? 'accept');
    if (verdict === 'drop') break;
  }
  const { by, mark, connectionMark, tracked, logged, rejected, translated } = flight;
  return {
    verdict,
    get by() {
      return by(); // printed only on demand: that takes longer than evaluating the rule
    },
    mark,
    connectionMark,
    tracked,
    logged,
    ...(rejected === undefined ? {} : { rejected }),
    ...(translated === undefined ? {} : { translated }),
  };
}

const noRules: readonly NftRule[] = [];

type Decision = 'accept' | 'drop' | 'return' | 'end';

/**
 * It is longer than 80 lines because it judges hundreds of thousands of connections, and a closure over packet and flight costs less than passing both to every function.
 */
function walker(table: Rules, packet: Pick<Packet, 'get' | 'has'>, traffic: Traffic, flight: Flight): (chain: string) => Decision {
  function walk(name: string): Decision {
    for (const rule of table.chain(name)?.rules ?? noRules) {
      const verdict = follow(rule.statements);
      if (verdict === undefined || verdict.verdict === 'continue') continue;
      if (!('chain' in verdict)) {
        if (verdict.verdict === 'accept' || verdict.verdict === 'drop') flight.by = () => `${name}: ${printRule(rule, table.family)}`;
        return verdict.verdict;
      }
      const below = walk(verdict.chain);
      if (below === 'accept' || below === 'drop') return below;
      if (verdict.verdict === 'goto') return 'return';
    }
    return 'end';
  }

  /** The verdict of a rule; undefined when the rule does not match or has none. */
  function follow(statements: readonly Statement[]): Verdict | undefined {
    for (const statement of statements) {
      const step = perform(statement);
      if (step === 'break') return undefined;
      if (step !== 'next') return step;
    }
    return undefined;
  }

  function perform(statement: Statement): Verdict | 'next' | 'break' {
    switch (statement.is) {
      case 'match':
        return test(valueIn(statement.field), statement.negate, (value) => same(value, statement.value));
      case 'masked':
        return test(valueIn(statement.field), statement.negate, (value) => same(value, statement.value, statement.mask));
      case 'range':
        return test(
          valueIn(statement.field),
          statement.negate,
          (value) => Buffer.compare(statement.first, value) <= 0 && Buffer.compare(value, statement.last) <= 0,
        );
      case 'in-set':
        return test(keyOf(statement.fields), statement.negate, (key) => {
          const found = table.find(statement.set, key);
          return found !== undefined && (!found.limit || isOverRate(statement.set)); // the kernel checks the limit of an element after it has found the element
        });
      case 'verdict-map': {
        const key = keyOf(statement.fields);
        const through = key === undefined || statement.via === undefined ? key : find(statement.via, key)?.data;
        return (through === undefined ? undefined : find(statement.map, through)?.verdict) ?? 'break';
      }
      case 'limit':
        return (traffic.overRate === true) === (statement.over ?? false) ? 'next' : 'break';
      case 'connections-over':
        return (traffic.connections ?? 0) > statement.count ? 'next' : 'break';
      case 'counter':
        return 'next';
      case 'log':
        flight.logged.push(statement.prefix);
        return 'next';
      case 'notrack':
        flight.tracked = false;
        return 'next';
      case 'set-mark': {
        const of = statement.of === 'packet' ? 'mark' : 'connectionMark';
        flight[of] = ((flight[of] & statement.and) ^ statement.xor) >>> 0;
        return 'next';
      }
      case 'nat':
        flight.translated = { kind: statement.kind, address: statement.address, ...(statement.port === undefined ? {} : { port: statement.port }) };
        return { verdict: 'accept' };
      case 'nat-map': {
        const key = keyOf(statement.fields);
        const address = key === undefined ? undefined : find(statement.map, key)?.data;
        if (address === undefined) return 'break';
        flight.translated = { kind: statement.kind, address };
        return { verdict: 'accept' };
      }
      case 'masquerade':
        flight.translated = { kind: 'masquerade' };
        return { verdict: 'accept' };
      case 'reject':
        if (statement.with === 'tcp-reset' && valueIn('meta l4proto')?.[0] !== 6) return 'break';
        flight.rejected = statement.with;
        return { verdict: 'drop' };
      case 'verdict':
        return statement;
      default:
        return unreachable(statement);
    }
  }

  function valueIn(field: Field): Uint8Array | undefined {
    if (field === 'meta mark') return hostOrder(flight.mark);
    if (field === 'ct mark') return flight.tracked ? hostOrder(flight.connectionMark) : undefined;
    return packet.get(field) ?? impliedValue(packet, field);
  }

  function keyOf(fields: readonly Field[]): Uint8Array | undefined {
    if (fields.length === 1) return valueIn(fields[0] as Field);
    const parts = fields.map(valueIn);
    return parts.every((part) => part !== undefined) ? Buffer.concat(parts) : undefined;
  }

  const isOverRate = (set: string): boolean => (Array.isArray(traffic.overRate) ? traffic.overRate.includes(set) : traffic.overRate === true);

  function find(set: string, key: Uint8Array): NftElement | undefined {
    return table.find(set, key)?.element;
  }

  return walk;
}

const test = (value: Uint8Array | undefined, negate: boolean | undefined, holds: (value: Uint8Array) => boolean): 'next' | 'break' =>
  value !== undefined && holds(value) !== (negate ?? false) ? 'next' : 'break';

/** Compares short values, masked if there is a mask. For these a loop is faster than Buffer.compare. */
function same(one: Uint8Array, other: Uint8Array, mask?: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  for (let at = 0; at < one.length; at++) if (((one[at] as number) & (mask ? (mask[at] ?? 0) : 255)) !== other[at]) return false;
  return true;
}
const numberOf = (value: Uint8Array | undefined): number => (value === undefined ? 0 : hostNumber(value));

function impliedValue(packet: Pick<Packet, 'get' | 'has'>, field: Field): Uint8Array | undefined {
  const has = (...fields: readonly Field[]): boolean => fields.some((other) => packet.has(other));
  switch (field) {
    case 'meta iifname':
    case 'meta oifname':
      return new Uint8Array(16);
    case 'meta nfproto':
      if (has('ip saddr', 'ip daddr', 'ip protocol', 'icmp type')) return new Uint8Array([2]);
      return has('ip6 saddr', 'ip6 daddr', 'ip6 hoplimit', 'icmpv6 type') ? new Uint8Array([10]) : undefined;
    case 'meta l4proto':
      if (has('ip protocol')) return packet.get('ip protocol');
      return has('icmp type') ? new Uint8Array([1]) : has('icmpv6 type') ? new Uint8Array([58]) : undefined;
    case 'ip protocol':
      return has('ip saddr', 'ip daddr') ? packet.get('meta l4proto') : undefined;
    default:
      return undefined;
  }
}

function rulesOf(table: NftTable): Rules {
  return {
    family: table.family,
    chains: () => table.chains.values(),
    chain: (name) => table.chains.get(name),
    find(name, key) {
      const entry = table.sets.get(name);
      const id = elementId({ key });
      const element = entry?.elements.find((each) => (entry.set.interval ? liesIn(each, key) : elementId(each) === id));
      return element && { element, limit: entry?.set.limit !== undefined };
    },
  };
}

/** Whether a key equals the element's key, or lies in its range. */
export const liesIn = (element: NftElement, key: Uint8Array): boolean =>
  Buffer.compare(element.key, key) <= 0 && Buffer.compare(key, element.keyEnd ?? element.key) <= 0;
