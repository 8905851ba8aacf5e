// Decodes BGPFilters: an operator's rules that run before the built-in ones, by direction and family.
import { addressBits, type Cidr, type IpFamily, prefixLength } from '@calico-openstack/addresses';
import { type Decoded, decoded, decodeResource, isFields, refused } from '@calico-openstack/datamodel';
import { type FieldProblem, type FieldReader, integer, list, object, oneOf, type Parse, readFields, shown } from './fields.ts';
import { asNumber, type Community, cidr, community, interfacePattern } from './values.ts';

/** The direction of a filter. */
export type Direction = 'import' | 'export';

/** Matches a prefix, or prefixes inside of it with a length in a range; or all others. */
export type PrefixMatch =
  | { readonly kind: 'equal'; readonly cidr: Cidr; readonly negated: boolean }
  | { readonly kind: 'in'; readonly cidr: Cidr; readonly minLength: number; readonly maxLength: number; readonly negated: boolean };

/** A change of the route. */
export type FilterOperation =
  | { readonly kind: 'addCommunity'; readonly community: Community }
  /** The AS numbers in the order in which they stand at the beginning of the path afterwards. */
  | { readonly kind: 'prependAsPath'; readonly asNumbers: readonly number[] }
  | { readonly kind: 'setPriority'; readonly priority: number };

/** A rule. All conditions that are present must hold. */
export type FilterRule = {
  readonly prefix: PrefixMatch | undefined;
  readonly learnedFromPeers: boolean;
  readonly interface: string | undefined;
  readonly peerType: 'eBGP' | 'iBGP' | undefined;
  readonly community: Community | undefined;
  readonly asPathPrefix: readonly number[] | undefined;
  /** A route priority in Felix's units, which are kernel metrics. */
  readonly priority: number | undefined;
  readonly action: 'Accept' | 'Reject';
  readonly operations: readonly FilterOperation[];
};

/** A list of rules. `problem`: the rule behind the last one is invalid. Then every route that gets so far is rejected, because that rule might have stopped it. */
export type FilterRules = { readonly rules: readonly FilterRule[]; readonly problem: FieldProblem | undefined };

/** A filter by direction and family. */
export type BgpFilter = { readonly name: string; readonly rules: { readonly [direction in Direction]: { readonly [family in IpFamily]: FilterRules } } };

/** Decodes a BGPFilter. Only a value that is no BGPFilter at all is refused; an invalid rule ends its list. */
export function decodeBgpFilter(name: string, bytes: Uint8Array): Decoded<BgpFilter> {
  const resource = decodeResource(bytes);
  if (!resource.ok) return resource;
  const { spec } = resource.value;
  const rules = (direction: Direction, family: IpFamily): FilterRules => decodeRules(spec[`${direction}V${family}`], `spec.${direction}V${family}`, family);
  const both = (direction: Direction) => ({ 4: rules(direction, 4), 6: rules(direction, 6) });
  return decoded({ name, rules: { import: both('import'), export: both('export') } });
}

function decodeRules(value: unknown, path: string, family: IpFamily): FilterRules {
  if (value === undefined || value === null) return { rules: [], problem: undefined };
  if (!Array.isArray(value)) return { rules: [], problem: { field: path, reason: `${shown(value)} is not a list` } };
  const rules: FilterRule[] = [];
  for (const [index, element] of value.entries()) {
    const problems: FieldProblem[] = [];
    const rulePath = `${path}[${index}]`;
    if (!isFields(element)) return { rules, problem: { field: rulePath, reason: `${shown(element)} is not an object` } };
    const rule = decodeRule(readFields(element, rulePath, problems), family);
    const [problem] = problems;
    if (problem || !rule) return { rules, problem: problem ?? { field: rulePath, reason: 'is not understood' } };
    rules.push(rule);
  }
  return { rules, problem: undefined };
}

function decodeRule(fields: FieldReader, family: IpFamily): FilterRule | undefined {
  const action = fields.require('action', oneOf('Accept', 'Reject'));
  const rule = {
    prefix: prefixMatch(fields, family),
    learnedFromPeers: fields.read('source', oneOf('RemotePeers')) !== undefined,
    interface: fields.read('interface', interfacePattern),
    peerType: fields.read('peerType', oneOf('eBGP', 'iBGP')),
    community: fields.read('communities', communityMatch),
    asPathPrefix: fields.read('asPathPrefix', list(asNumber, mostInPath)),
    priority: fields.read('priority', priority),
    operations: fields.read('operations', list(operation)) ?? [],
  };
  if (rule.operations.length > 0 && action === 'Reject') fields.problem('operations', 'go with action Accept only');
  for (const name of fields.unread()) fields.problem(name, 'is not known, and may limit the match');
  return action && { ...rule, action };
}

const priority = integer(1, 2147483646);

/** The greatest number of AS numbers to match: that of a segment of an AS path (RFC 4271, section 4.3). BIRD's parser fails on some thousands, and with it the whole configuration. */
const mostInPath = 255;

function prefixMatch(fields: FieldReader, family: IpFamily): PrefixMatch | undefined {
  const prefix = fields.read('cidr', cidr(family));
  const operator = fields.read('matchOperator', oneOf('Equal', 'NotEqual', 'In', 'NotIn'));
  const lengths = fields.read('prefixLength', prefixLengths(addressBits(family)));
  if (prefix === undefined || operator === undefined) {
    if (prefix !== operator) fields.problem(prefix === undefined ? 'cidr' : 'matchOperator', 'is missing: cidr and matchOperator stand together');
    else if (lengths) fields.problem('prefixLength', 'needs a cidr');
    return undefined;
  }
  const negated = operator === 'NotEqual' || operator === 'NotIn';
  if (operator === 'Equal' || operator === 'NotEqual') {
    if (lengths) fields.problem('prefixLength', `has no meaning with matchOperator ${operator}`);
    return { kind: 'equal', cidr: prefix, negated };
  }
  const own = prefixLength(prefix);
  return { kind: 'in', cidr: prefix, minLength: Math.max(own, lengths?.min ?? own), maxLength: Math.max(lengths?.max ?? addressBits(family), 0), negated };
}

const prefixLengths =
  (bits: number): Parse<{ readonly min: number | undefined; readonly max: number | undefined }> =>
  (value) => {
    const range = object(value);
    if (!range.ok) return range;
    const problems: FieldProblem[] = [];
    const fields = readFields(range.value, '', problems);
    const lengths = { min: fields.read('min', integer(0, bits)), max: fields.read('max', integer(0, bits)) };
    for (const name of fields.unread()) fields.problem(name, 'is not known');
    const [problem] = problems;
    return problem ? refused(`${problem.field.slice(1)}: ${problem.reason}`) : decoded(lengths);
  };

/** A community match: `{"values": [one]}`. So far Calico's API allows one value only. */
const communityMatch: Parse<Community> = (value) => {
  const values = isFields(value) && Object.keys(value).length === 1 ? value['values'] : undefined;
  return Array.isArray(values) && values.length === 1 ? community(values[0]) : refused(`${shown(value)} is not {"values": [one community]}`);
};

const operation: Parse<FilterOperation> = (value) => {
  const [kind, ...others] = isFields(value) ? Object.keys(value) : [];
  const settings = kind !== undefined && others.length === 0 ? object((value as { [name: string]: unknown })[kind]) : undefined;
  if (!settings?.ok) return refused(`${shown(value)} is not an operation`);
  const problems: FieldProblem[] = [];
  const fields = readFields(settings.value, `.${kind}`, problems);
  const parsed = operationOf(kind!, fields);
  for (const name of fields.unread()) fields.problem(name, 'is not known');
  const [problem] = problems;
  if (problem) return refused(`${problem.field.slice(1)}: ${problem.reason}`);
  return parsed ? decoded(parsed) : refused(`${shown(value)} is not an operation that is known`);
};

function operationOf(kind: string, fields: FieldReader): FilterOperation | undefined {
  switch (kind) {
    case 'addCommunity': {
      const value = fields.require('value', community);
      return value && { kind, community: value };
    }
    case 'prependASPath': {
      const asNumbers = fields.require('prefix', list(asNumber));
      if (asNumbers && (asNumbers.length === 0 || asNumbers.length > mostPrepended)) fields.problem('prefix', `has not 1 to ${mostPrepended} AS numbers`);
      return asNumbers && { kind: 'prependAsPath', asNumbers };
    }
    case 'setPriority': {
      const value = fields.require('value', priority);
      return value === undefined ? undefined : { kind, priority: value };
    }
    default:
      return undefined;
  }
}

const mostPrepended = 10;
