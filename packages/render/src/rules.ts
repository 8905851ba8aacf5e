// Renders a Calico rule as nftables rules. A rule matches when all of its conditions hold; the entries of a list are alternatives. Where nftables has no "or" (between numbered and named
// ports), one nftables rule is written for each alternative.
import { type Cidr, familyOf, type IpFamily, prefixLength } from '@calico-openstack/addresses';
import { type PortRange, portProtocols, type Rule, type RuleSide } from '@calico-openstack/datamodel';
import type { NftRule, Statement } from '@calico-openstack/kernel/nftables/objects';
import { type ConstantSet, mergePorts, netsConstant, outermostOf, portsConstant } from './constants.ts';
import type { RenderOptions } from './options.ts';
import { namedPortSetName, type Sets } from './sets.ts';
import { addressField, byte, drop, equal, goBack, inCidr, inSet, l4proto, nfproto, portRange, setMark } from './statements.ts';

/** Rules with the constant sets that they use. */
export type RenderedRules = { readonly rules: readonly NftRule[]; readonly constants: readonly ConstantSet[] };

type SetNames = Pick<Sets, 'nameOf'>;

/** The fields of a rule that are rendered here. A condition that is added to the type but not rendered would make rules match more, so it is a compile-time error. */
type Rendered = 'action' | 'ipVersion' | 'protocol' | 'notProtocol' | 'icmp' | 'notIcmp' | 'source' | 'destination';
type RenderedOfSide = 'nets' | 'notNets' | 'sets' | 'notSets' | 'ports' | 'namedPorts' | 'notPorts' | 'notNamedPorts';
type Unrendered = Exclude<keyof Rule, Rendered> | Exclude<keyof RuleSide, RenderedOfSide>;
true satisfies [Unrendered] extends [never] ? true : false;

/**
 * Renders a list of rules, in order.
 * @param logPrefix the prefix of a Log rule's line
 */
export function renderRules(rules: readonly Rule[], setNames: SetNames, options: RenderOptions, logPrefix: string): RenderedRules {
  const constants: ConstantSet[] = [];
  const rendered = rules.flatMap((rule) => {
    const outcome = actionStatements(rule.action, options, logPrefix);
    return familiesOf(rule).flatMap((family) => renderIn(rule, family, setNames, constants).map((match) => ({ statements: [...match, ...outcome] })));
  });
  const unique = new Map(constants.map((constant) => [constant.set.name, constant]));
  return { rules: rendered, constants: [...unique.values()] };
}

function actionStatements(action: Rule['action'], options: RenderOptions, logPrefix: string): readonly Statement[] {
  switch (action) {
    case 'allow':
      return [setMark(options.acceptMark), goBack];
    case 'pass':
      return [setMark(options.passMark), goBack];
    case 'deny':
      return [deny(options)];
    case 'log':
      return [...(options.logLimit ? [{ is: 'limit', ...options.logLimit } as const] : []), { is: 'log', prefix: logPrefix }];
    default:
      return unreachable(action);
  }
}

const unreachable = (value: never): never => {
  throw new Error(`no rendering for ${String(value)}`);
};

/** The statement for a packet that policy denies. */
export const deny = (options: Pick<RenderOptions, 'denyAction'>): Statement =>
  options.denyAction === 'DROP' ? drop : { is: 'reject', with: 'port-unreachable' };

const sides = ['source', 'destination'] as const;

/**
 * The families that the rule is written for. `any` means once for both, because nothing in the rule depends on the family.
 * As in upstream's Felix, a rule does not apply to a family of which its list of prefixes has none, whether the list is negated or not, nor to one of which it negates the prefix of length 0.
 */
function familiesOf(rule: Rule): readonly (IpFamily | 'any')[] {
  const wanted = ([4, 6] as const).filter((family) => rule.ipVersion === undefined || rule.ipVersion === family);
  const possible = wanted.filter((family) =>
    sides.every((side) => {
      const { nets, notNets } = rule[side];
      const own = (list: readonly Cidr[]): readonly Cidr[] => list.filter((cidr) => familyOf(cidr) === family);
      if (nets && own(nets).length === 0) return false;
      return !notNets || (own(notNets).length > 0 && own(notNets).every((cidr) => prefixLength(cidr) > 0));
    }),
  );
  const alike = possible.length === 2 && !rule.icmp && !rule.notIcmp && sides.every((side) => !dependsOnFamily(rule[side]));
  return alike ? ['any'] : possible;
}

const dependsOnFamily = ({ nets, notNets, sets, notSets, namedPorts, notNamedPorts }: RuleSide): boolean =>
  [nets, notNets, sets, notSets, namedPorts, notNamedPorts].some((list) => list && list.length > 0);

function renderIn(rule: Rule, family: IpFamily | 'any', setNames: SetNames, constants: ConstantSet[]): Statement[][] {
  const common: Statement[] = [];
  if (rule.protocol !== undefined) common.push(l4proto(rule.protocol));
  if (rule.notProtocol !== undefined) common.push(l4proto(rule.notProtocol, true));
  let alternatives: Statement[][] = [common];
  if (family !== 'any') {
    if (rule.icmp) alternatives = alternatives.map((statements) => [...statements, ...icmpIs(family, rule.icmp!)]);
    if (rule.notIcmp) alternatives = product(alternatives, icmpIsNot(family, rule.notIcmp));
  }
  for (const side of sides) {
    alternatives = product(alternatives, portAlternatives(rule[side], side, family, constants));
    alternatives = product(alternatives, portExclusions(rule[side], side, family, rule.protocol, constants));
    const addresses = family === 'any' ? [] : addressMatches(rule[side], side, family, setNames, constants);
    alternatives = alternatives.map((statements) => [...statements, ...addresses]);
  }
  return family === 'any' ? alternatives : alternatives.map((statements) => (statements.some(impliesFamily) ? statements : [nfproto(family), ...statements]));
}

const product = (left: readonly Statement[][], right: readonly Statement[][]): Statement[][] => left.flatMap((a) => right.map((b) => [...a, ...b]));

/** A match on an address implies the family. */
function impliesFamily(statement: Statement): boolean {
  const fields = 'fields' in statement ? statement.fields : 'field' in statement ? [statement.field] : [];
  return fields.some((field) => field.startsWith('ip ') || field.startsWith('ip6 '));
}

const icmpProtocol = (family: IpFamily): number => (family === 4 ? 1 : 58);
const icmpField = (family: IpFamily, what: 'type' | 'code') => `${family === 4 ? 'icmp' : 'icmpv6'} ${what}` as const;

function icmpIs(family: IpFamily, icmp: NonNullable<Rule['icmp']>): Statement[] {
  const code = icmp.code === undefined ? [] : [equal(icmpField(family, 'code'), byte(icmp.code))];
  return [l4proto(icmpProtocol(family)), equal(icmpField(family, 'type'), byte(icmp.type)), ...code];
}

/** ICMP of another type, or of this type with another code. */
function icmpIsNot(family: IpFamily, icmp: NonNullable<Rule['notIcmp']>): Statement[][] {
  const protocol = l4proto(icmpProtocol(family));
  const [type, code] = [icmpField(family, 'type'), icmpField(family, 'code')];
  const otherType = [protocol, equal(type, byte(icmp.type), true)];
  return icmp.code === undefined ? [otherType] : [otherType, [protocol, equal(type, byte(icmp.type)), equal(code, byte(icmp.code), true)]];
}

/** Matches when the port is in one of the ranges (or, negated, in none). A single range stands in the rule itself; several form a set, so that a rule stays short however long its lists are. */
function portIs(ranges: readonly PortRange[], name: 'source' | 'destination', negate: boolean, constants: ConstantSet[]): Statement {
  if (ranges.length === 1) return portRange(name, ranges[0]!.first, ranges[0]!.last, negate);
  const constant = portsConstant(ranges);
  constants.push(constant);
  return inSet(constant.set.name, [name === 'source' ? 'th sport' : 'th dport'], negate);
}

/** The alternatives by which the ports can match: by number or by name. Without a list there is one alternative, with nothing to match. */
function portAlternatives(side: RuleSide, name: 'source' | 'destination', family: IpFamily | 'any', constants: ConstantSet[]): Statement[][] {
  const alternatives: Statement[][] = [];
  const ranges = mergePorts(side.ports ?? []);
  if (ranges.length > 0) alternatives.push([portIs(ranges, name, false, constants)]);
  if (family !== 'any') for (const id of side.namedPorts ?? []) alternatives.push([namedPort(name, family, namedPortSetName(family, id))]);
  if (alternatives.length > 0) return alternatives;
  return side.ports || side.namedPorts ? [] : [[]]; // a list without entries matches nothing
}

function namedPort(side: 'source' | 'destination', family: IpFamily, set: string, negate = false): Statement {
  return inSet(set, [addressField(family, side), 'meta l4proto', side === 'source' ? 'th sport' : 'th dport'], negate);
}

/**
 * The alternatives by which the ports are not excluded. Named ports may be excluded in a rule without a protocol. Then a packet of a protocol without ports is not excluded, and there is one
 * alternative for each protocol with ports, because in other protocols other data stands where the port would be.
 */
function portExclusions(
  side: RuleSide,
  name: 'source' | 'destination',
  family: IpFamily | 'any',
  protocol: number | undefined,
  constants: ConstantSet[],
): Statement[][] {
  const ranges = mergePorts(side.notPorts ?? []);
  const numeric = ranges.length === 0 ? [] : [portIs(ranges, name, true, constants)];
  const named = family === 'any' ? [] : (side.notNamedPorts ?? []).map((id) => namedPort(name, family, namedPortSetName(family, id), true));
  const excluded = [...numeric, ...named];
  if (named.length === 0 || protocol !== undefined) return [excluded];
  return [portProtocols.map((each) => l4proto(each, true)), ...portProtocols.map((each) => [l4proto(each), ...excluded])];
}

function addressMatches(side: RuleSide, name: 'source' | 'destination', family: IpFamily, setNames: SetNames, constants: ConstantSet[]): Statement[] {
  const statements: Statement[] = [];
  const field = addressField(family, name);
  /** Matches when the address lies in one of the prefixes (or, negated, in none). */
  function liesIn(cidrs: readonly Cidr[], negate: boolean): void {
    const nets = outermostOf(cidrs.filter((cidr) => familyOf(cidr) === family));
    if (nets.length === 1) statements.push(...(prefixLength(nets[0]!) === 0 ? [] : [inCidr(nets[0]!, name, negate)]));
    else {
      const constant = netsConstant(family, nets);
      constants.push(constant);
      statements.push(inSet(constant.set.name, [field], negate));
    }
  }
  if (side.nets) liesIn(side.nets, false);
  if (side.notNets?.some((cidr) => familyOf(cidr) === family)) liesIn(side.notNets, true); // familiesOf leaves out lists with a prefix of length 0
  for (const id of side.sets ?? []) statements.push(inSet(setNames.nameOf(family, id), [field]));
  for (const id of side.notSets ?? []) statements.push(inSet(setNames.nameOf(family, id), [field], true));
  return statements;
}
