// Reads one rule of a policy or profile. A rule that is not understood fails closed: an Allow or Pass matches nothing, a Deny keeps the conditions that are understood,
// and an unknown action denies.
import { type Prefix, readPrefix } from './address.ts';
import { type LabelsOf, type Matcher, readSelector } from './selector.ts';

/** A JSON object. */
export type Fields = Readonly<Record<string, unknown>>;
/** Whether a value is a JSON object. */
export const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);

/** A range of port numbers with both ends included, or the name of an endpoint's port. */
export type PortMatch = { readonly first: number; readonly last: number } | { readonly name: string };

/** The conditions on one side of a rule, its source or its destination. An absent field is no condition. */
export type Side = {
  readonly nets?: readonly Prefix[];
  readonly notNets?: readonly Prefix[];
  /** Selects the endpoints and network sets whose addresses match. */
  readonly selected?: Matcher;
  /** Selects the endpoints and network sets whose addresses must not match. */
  readonly notSelected?: Matcher;
  readonly ports?: readonly PortMatch[];
  readonly notPorts?: readonly PortMatch[];
};

/** A rule as it is applied. An absent field is no condition. */
export type Rule = {
  readonly action: 'allow' | 'deny' | 'pass' | 'log';
  readonly ipVersion?: 4 | 6;
  readonly protocol?: number;
  readonly notProtocol?: number;
  readonly icmp?: { readonly type: number; readonly code?: number };
  readonly notIcmp?: { readonly type: number; readonly code?: number };
  readonly source: Side;
  readonly destination: Side;
};

const protocolNames: Readonly<Record<string, number>> = { tcp: 6, udp: 17, icmp: 1, icmpv6: 58, sctp: 132, udplite: 136 };
const actions: Readonly<Record<string, Rule['action']>> = { allow: 'allow', deny: 'deny', pass: 'pass', log: 'log' };

const ruleFields = new Set(['action', 'ipVersion', 'protocol', 'notProtocol', 'icmp', 'notICMP', 'source', 'destination', 'metadata']);
const sideFields = new Set(['nets', 'notNets', 'selector', 'notSelector', 'namespaceSelector', 'serviceAccounts', 'ports', 'notPorts']);

/** The result of reading a rule. */
export type ReadRule = {
  /** The rule to apply; undefined when it matches nothing. */
  readonly matches: Rule | undefined;
  /** Why the rule is not understood. Absent when it is. */
  readonly problem?: string;
};

/**
 * Reads a rule from its JSON.
 * @param namespace of the policy; undefined for global policies and profiles
 */
export function readRule(value: unknown, namespace: string | undefined): ReadRule {
  const problems: string[] = [];
  const fields = isFields(value) ? value : {};
  if (!isFields(value)) problems.push('is not an object');
  for (const field in fields) if (!ruleFields.has(field) && fields[field] !== null) problems.push(`has the field ${field}`);
  const actionText = typeof fields['action'] === 'string' ? fields['action'].toLowerCase() : '';
  const action = actions[actionText];
  if (!action) problems.push(`has the action ${JSON.stringify(fields['action'])}`);

  const protocol = readProtocol(fields['protocol'], problems);
  const notProtocol = readProtocol(fields['notProtocol'], problems);
  const icmp = readIcmp(fields['icmp'], problems);
  const notIcmp = readIcmp(fields['notICMP'], problems);
  // A version that is not understood is no condition. Only an absent version is implied by the protocol's name.
  const version = absent(fields['ipVersion']) ? impliedVersion(fields['protocol']) : readVersion(fields['ipVersion'], problems);
  const portsAllowed = protocol === 6 || protocol === 17 || protocol === 132;
  const anyProtocol = protocol === undefined;
  const context = { namespace, portsAllowed, anyProtocol, problems };
  const rule: Rule = {
    action: action ?? 'deny',
    ...(version !== undefined && { ipVersion: version }),
    ...(protocol !== undefined && { protocol }),
    ...(notProtocol !== undefined && { notProtocol }),
    ...(icmp && { icmp }),
    ...(notIcmp && { notIcmp }),
    source: readSide(fields['source'], context),
    destination: readSide(fields['destination'], context),
  };
  if (problems.length === 0) return { matches: rule };
  return { matches: rule.action === 'deny' ? rule : undefined, problem: problems.join('; ') };
}

const absent = (value: unknown): value is undefined | null => value === undefined || value === null;

function readProtocol(value: unknown, problems: string[]): number | undefined {
  if (absent(value)) return undefined;
  const number = typeof value === 'string' ? (protocolNames[value.toLowerCase()] ?? (/^\d{1,3}$/.test(value) ? Number(value) : Number.NaN)) : value;
  if (typeof number === 'number' && Number.isInteger(number) && number >= 1 && number <= 255) return number;
  problems.push(`has the protocol ${JSON.stringify(value)}`);
  return undefined;
}

function readVersion(value: unknown, problems: string[]): 4 | 6 | undefined {
  if (absent(value)) return undefined;
  if (value === 4 || value === 6) return value;
  problems.push(`has the IP version ${JSON.stringify(value)}`);
  return undefined;
}

/** The names ICMP and ICMPv6 imply a family; the numbers 1 and 58 do not. */
function impliedVersion(protocol: unknown): 4 | 6 | undefined {
  const name = typeof protocol === 'string' ? protocol.toLowerCase() : '';
  return name === 'icmp' ? 4 : name === 'icmpv6' ? 6 : undefined;
}

function readIcmp(value: unknown, problems: string[]): Rule['icmp'] {
  if (absent(value)) return undefined;
  const { type, code } = isFields(value) ? value : {};
  const whole = (number: unknown, most: number): number is number => typeof number === 'number' && Number.isInteger(number) && number >= 0 && number <= most;
  if (isFields(value) && absent(type) && absent(code)) return undefined;
  if (whole(type, 254) && (absent(code) || whole(code, 255))) return absent(code) ? { type } : { type, code };
  problems.push(`has the ICMP match ${JSON.stringify(value)}`);
  return undefined;
}

type Context = { readonly namespace: string | undefined; readonly portsAllowed: boolean; readonly anyProtocol: boolean; readonly problems: string[] };

function readSide(value: unknown, context: Context): Side {
  if (absent(value)) return {};
  const { problems } = context;
  if (!isFields(value)) {
    problems.push('has a side that is not an object');
    return {};
  }
  for (const field in value) if (!sideFields.has(field) && !isEmpty(value[field])) problems.push(`has the field ${field} in a side`);
  const nets = readList(value['nets'], readNet, problems);
  const notNets = readList(value['notNets'], readNet, problems);
  const ports = readList(value['ports'], readPort, problems);
  const notPorts = readList(value['notPorts'], readPort, problems);
  // A named port has a protocol of its own. A port number without a protocol is not understood, and is no condition.
  const meaningful = (list: readonly PortMatch[] | undefined): boolean =>
    !list || context.portsAllowed || (context.anyProtocol && list.every((port) => 'name' in port));
  if (!meaningful(ports) || !meaningful(notPorts)) problems.push('has ports without a protocol that has ports');
  return {
    ...(nets && { nets }),
    ...(notNets && { notNets }),
    ...(ports && meaningful(ports) && { ports }),
    ...(notPorts && meaningful(notPorts) && { notPorts }),
    ...readSelection(value, context),
  };
}

const isEmpty = (value: unknown): boolean => absent(value) || value === '' || (Array.isArray(value) && value.length === 0);

/** Reads a list. undefined when there is no condition; also, with a problem noted, when an entry is not understood. */
function readList<T>(value: unknown, read: (entry: unknown) => T | undefined, problems: string[]): readonly T[] | undefined {
  if (isEmpty(value)) return undefined;
  const entries = Array.isArray(value) ? value.map((entry: unknown) => ({ entry, read: read(entry) })) : [{ entry: value, read: undefined }];
  const bad = entries.find((entry) => entry.read === undefined);
  if (!bad) return entries.map((entry) => entry.read!);
  problems.push(`lists ${JSON.stringify(bad.entry)}`);
  return undefined;
}

const readNet = (entry: unknown): Prefix | undefined => (typeof entry === 'string' ? readPrefix(entry) : undefined);

function readPort(entry: unknown): PortMatch | undefined {
  const legal = (port: number): boolean => Number.isInteger(port) && port >= 1 && port <= 65535;
  if (typeof entry === 'number') return legal(entry) ? { first: entry, last: entry } : undefined;
  if (typeof entry !== 'string') return undefined;
  const range = /^(\d{1,5})(?::(\d{1,5}))?$/.exec(entry);
  if (range) {
    const first = Number(range[1]);
    const last = range[2] === undefined ? first : Number(range[2]);
    return legal(first) && legal(last) && first <= last ? { first, last } : undefined;
  }
  return /^[A-Za-z0-9_.-]{1,128}$/.test(entry) ? { name: entry } : undefined;
}

/** The label that holds an endpoint's namespace. */
export const namespaceLabel = 'projectcalico.org/namespace';
/** The label that holds an endpoint's service account. */
export const serviceAccountLabel = 'projectcalico.org/serviceaccount';

const inNamespace: Matcher = (labels) => labels(namespaceLabel) !== undefined;
const inNoNamespace: Matcher = (labels) => labels(namespaceLabel) === undefined;

/** Reads `selector`, `serviceAccounts`, `notSelector` and `namespaceSelector`. Without a namespaceSelector, the rule of a namespaced policy selects within that namespace. */
function readSelection(value: Fields, { namespace, problems }: Context): Pick<Side, 'selected' | 'notSelected'> {
  const read = (field: string, dialect = {}): Matcher | undefined => {
    const text = value[field];
    if (isEmpty(text)) return undefined;
    const matcher = typeof text === 'string' ? readSelector(text, dialect) : undefined;
    if (!matcher) problems.push(`has the ${field} ${JSON.stringify(text)}`);
    return matcher;
  };
  const selector = read('selector');
  const notSelector = read('notSelector');
  const namespaceSelector = read('namespaceSelector', { renameLabel: (name: string) => `pcns.${name}`, all: inNamespace, global: inNoNamespace });
  const accounts = readServiceAccounts(value['serviceAccounts'], problems);
  // A namespaceSelector that is not understood is no condition. Falling back to the policy's own namespace could make a Deny narrower than it was meant to be.
  const own = namespace === undefined || !isEmpty(value['namespaceSelector']) ? undefined : (labels: LabelsOf) => labels(namespaceLabel) === namespace;
  const home: Matcher | undefined = namespaceSelector ?? own;
  const positive = [home, selector, accounts].filter((matcher) => matcher !== undefined);
  if (!selector && !notSelector && !namespaceSelector && !accounts) return {};
  if (positive.length === 0) return { notSelected: notSelector! };
  return { selected: (labels) => positive.every((matcher) => matcher(labels)) && !notSelector?.(labels) };
}

function readServiceAccounts(value: unknown, problems: string[]): Matcher | undefined {
  if (absent(value)) return undefined;
  const { names, selector } = isFields(value) ? value : {};
  const matchers: Matcher[] = [];
  if (!isEmpty(names)) {
    if (Array.isArray(names) && names.every((name) => typeof name === 'string'))
      matchers.push((labels) => (names as string[]).includes(labels(serviceAccountLabel) as string));
    else problems.push('has serviceAccounts.names that are not text');
  }
  if (!isEmpty(selector)) {
    const matcher = typeof selector === 'string' ? readSelector(selector, { renameLabel: (name) => `pcsa.${name}` }) : undefined;
    if (matcher) matchers.push(matcher);
    else problems.push('has a serviceAccounts.selector that does not parse');
  }
  return matchers.length === 0 ? undefined : (labels) => matchers.every((matcher) => matcher(labels));
}
