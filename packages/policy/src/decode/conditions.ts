// Decodes the conditions of a rule that stand in one field each.
import { type Cidr, type IpFamily, parseCidr } from '@calico-openstack/addresses';
import { type Decoded, decoded, hasPorts, type IcmpMatch, isFields, type PortRange, refused, show } from '@calico-openstack/datamodel';
import { fieldNames, isIntegerBetween, readFields, readTexts } from './fields.ts';

/** The meaning of a field, undefined when it limits nothing, or why it is not understood. */
export type Condition<T> = Decoded<T | undefined>;
const unlimited: Condition<never> = decoded(undefined);

/** Reads `ipVersion`: 4 or 6. */
export function readIpVersion(value: unknown): Condition<IpFamily> {
  if (value === undefined) return unlimited;
  return value === 4 || value === 6 ? decoded(value) : refused(`is ${show(value)}, neither 4 nor 6`);
}

/** A protocol. The names `ICMP` and `ICMPv6` imply the IP version of a rule without `ipVersion`; the numbers 1 and 58 do not. */
export type Protocol = { readonly number: number; readonly impliedVersion?: IpFamily };

const protocolNames: ReadonlyMap<string, Protocol> = new Map([
  ['tcp', { number: 6 }],
  ['udp', { number: 17 }],
  ['icmp', { number: 1, impliedVersion: 4 }],
  ['icmpv6', { number: 58, impliedVersion: 6 }],
  ['sctp', { number: 132 }],
  ['udplite', { number: 136 }],
]);

/** Reads a protocol: a name in any case, a number from 1 to 255, or such a number as text. */
export function readProtocol(value: unknown): Condition<Protocol> {
  if (value === undefined) return unlimited;
  const known = typeof value === 'string' ? protocolNames.get(value.toLowerCase()) : undefined;
  if (known) return decoded(known);
  const number = typeof value === 'string' && /^[0-9]{1,3}$/.test(value) ? Number(value) : value;
  return isIntegerBetween(number, 1, 255) ? decoded({ number }) : refused(`is ${show(value)}, not a protocol`);
}

const icmpFields = fieldNames('type', 'code');

/** Reads an ICMP match: a type from 0 to 254, and perhaps a code from 0 to 255. A code without a type is not understood. */
export function readIcmp(value: unknown): Condition<IcmpMatch> {
  if (value === undefined) return unlimited;
  if (!isFields(value)) return refused('is not an object');
  const { fields, unknown } = readFields(value, icmpFields);
  const { type, code } = fields;
  if (unknown.length > 0) return refused(`has the field ${show(unknown[0])}, which is not known`);
  if (type === undefined) return code === undefined ? unlimited : refused('has a code without a type');
  if (!isIntegerBetween(type, 0, 254)) return refused(`has type ${show(type)}, which is not 0 to 254`);
  if (code === undefined) return decoded({ type });
  return isIntegerBetween(code, 0, 255) ? decoded({ type, code }) : refused(`has code ${show(code)}, which is not 0 to 255`);
}

/** Reads a list of prefixes and addresses. One entry that does not parse makes the whole list not understood, because skipping it would widen or narrow the rule. */
export function readNets(value: unknown): Condition<readonly Cidr[]> {
  const texts = readTexts(value);
  if (!texts.ok) return texts;
  const nets = new Set<Cidr>();
  for (const text of texts.value) {
    const net = parseCidr(text);
    if (!net) return refused(`holds ${show(text)}, which is not an address or prefix`);
    nets.add(net);
  }
  return nets.size > 0 ? decoded([...nets]) : unlimited;
}

/** The entries of a list of ports: ranges of numbers, both ends included, and names of endpoints' ports. */
export type Ports = { readonly ranges: readonly PortRange[]; readonly names: readonly string[] };

const portName = /^[a-zA-Z0-9_.-]{1,128}$/;

/**
 * Reads a list of ports: numbers, `first:last`, and names of endpoints' ports. Numbers require that the rule has a protocol with ports.
 * Names require it only when the rule has a protocol.
 * @param protocol of the rule
 */
export function readPorts(value: unknown, protocol: number | undefined): Condition<Ports> {
  if (value === undefined) return unlimited;
  if (!Array.isArray(value)) return refused('is not a list');
  const ranges: PortRange[] = [];
  const names = new Set<string>();
  for (const entry of value as unknown[]) {
    const range = readPortRange(entry);
    if (range) ranges.push(range);
    else if (typeof entry === 'string' && portName.test(entry) && !/^[0-9]+$/.test(entry)) names.add(entry);
    else return refused(`holds ${show(entry)}, which is not a port`);
  }
  if (ranges.length === 0 && names.size === 0) return unlimited;
  if (protocol === undefined ? ranges.length > 0 : !hasPorts(protocol)) return refused('needs protocol TCP, UDP or SCTP');
  return decoded({ ranges, names: [...names] });
}

function readPortRange(entry: unknown): PortRange | undefined {
  const text = typeof entry === 'number' ? String(entry) : entry;
  const [, first, last = first] = (typeof text === 'string' && /^([0-9]{1,5})(?::([0-9]{1,5}))?$/.exec(text)) || [];
  const range = { first: Number(first), last: Number(last) };
  return isIntegerBetween(range.first, 1, 65535) && isIntegerBetween(range.last, range.first, 65535) ? range : undefined;
}
