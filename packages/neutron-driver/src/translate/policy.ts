// Translates security groups to NetworkPolicies. A rule that Calico cannot express is refused or left out, never widened.
import { familyOf, parseCidr } from '@calico-openstack/addresses';
import { hasPorts } from '@calico-openstack/datamodel';
import type { RuleRow, SecurityGroupRow } from '../rows.ts';
import type { ResourceContent } from '../sync/content.ts';
import { groupLabel } from './endpoint.ts';

/** Why a rule cannot be expressed. */
export type Unsayable = { readonly reason: string };
/** A rule of a NetworkPolicy. */
export type CalicoRule = Readonly<Record<string, unknown>>;

/** The name of a security group's NetworkPolicy. */
export const policyName = (groupId: string): string => `ossg.default.${groupId}`;
/** The label of an address group's NetworkSet. */
export const addressGroupLabel = (groupId: string): string => `ag.projectcalico.org/openstack-${groupId}`;

/** Neutron's names of protocols (IP_PROTOCOL_MAP in neutron-lib), without the two that mean any. */
const protocolNumbers: Readonly<Record<string, number>> = {
  ah: 51, dccp: 33, egp: 8, esp: 50, gre: 47, icmp: 1, icmpv6: 58, igmp: 2, ipip: 4, 'ipv6-encap': 41, 'ipv6-frag': 44, 'ipv6-icmp': 58,
  'ipv6-nonxt': 59, 'ipv6-opts': 60, 'ipv6-route': 43, ospf: 89, pgm: 113, rsvp: 46, sctp: 132, tcp: 6, udp: 17, udplite: 136, vrrp: 112,
}; // biome-ignore format: a table
const anyProtocol: ReadonlySet<string> = new Set(['', 'any', '-1', '0', 'ip', 'hopopt']);

const isUnsayable = (value: object): value is Unsayable => 'reason' in value;

/** A protocol's number, or 'any'; undefined when the text is neither. As Neutron does, this reads 1 in an IPv6 rule as ICMPv6, like the name. */
function protocolOf(protocol: RuleRow['protocol'], ipVersion: 4 | 6): number | 'any' | undefined {
  const text = String(protocol ?? '').toLowerCase();
  if (anyProtocol.has(text)) return 'any';
  const known = Object.hasOwn(protocolNumbers, text) ? protocolNumbers[text] : undefined;
  const number = known ?? (/^[1-9][0-9]{0,2}$/.test(text) && Number(text) <= 255 ? Number(text) : undefined);
  return number === 1 && ipVersion === 6 ? 58 : number;
}

/** The remote side of a rule. A rule has at most one. */
function remoteOf(rule: RuleRow, ipVersion: 4 | 6): Readonly<Record<string, unknown>> | Unsayable {
  const { remote_ip_prefix: prefix, remote_group_id: group, remote_address_group_id: addressGroup } = rule;
  if ([prefix, group, addressGroup].filter((remote) => remote !== undefined).length > 1) return { reason: 'it names more than one remote' };
  if (group !== undefined) return { selector: `has(${groupLabel(group)})` };
  if (addressGroup !== undefined) return { selector: `has(${addressGroupLabel(addressGroup)})` };
  if (prefix === undefined) return {};
  const cidr = parseCidr(prefix);
  if (!cidr) return { reason: `remote prefix ${JSON.stringify(prefix)} is not a prefix` };
  return familyOf(cidr) === ipVersion ? { nets: [cidr] } : { reason: `remote prefix ${cidr} is not of ethertype ${rule.ethertype}` };
}

/** The meaning of port_range_min and port_range_max, which depends on the protocol: ports, ICMP type and code, or nothing. */
function rangeOf(
  rule: RuleRow,
  protocol: number | 'any',
): { readonly ports?: readonly (number | string)[]; readonly icmp?: Readonly<Record<string, number>> } | Unsayable {
  // Older rows have -1 instead of null.
  const [min, max] = [rule.port_range_min, rule.port_range_max].map((value) => (value === -1 ? undefined : value));
  if (min === undefined && max === undefined) return {};
  if (protocol === 1 || protocol === 58) {
    if (min === undefined) return { reason: `ICMP code ${max} without a type cannot be matched` };
    if (!Number.isInteger(min) || min < 0 || min > 254) return { reason: `ICMP type ${min} cannot be matched: 0 to 254 can` };
    if (max !== undefined && (!Number.isInteger(max) || max < 0 || max > 255)) return { reason: `ICMP code ${max} is not between 0 and 255` };
    return { icmp: { type: min, ...(max !== undefined && { code: max }) } };
  }
  if (protocol === 'any' || !hasPorts(protocol))
    return { reason: `ports can be matched with TCP, UDP and SCTP only, not with protocol ${rule.protocol ?? 'any'}` };
  const isPort = (port: number | undefined): port is number => port !== undefined && Number.isInteger(port) && port >= 1 && port <= 65535;
  if (!isPort(min) || !isPort(max) || min > max) return { reason: `port range ${min ?? ''}:${max ?? ''} is not one` };
  return { ports: [min === max ? min : `${min}:${max}`] };
}

/** Translates one rule, or says why it cannot be expressed. The direction decides on which side the remote is; ports are always those of the destination. */
export function calicoRule(rule: RuleRow): { readonly direction: 'ingress' | 'egress'; readonly rule: CalicoRule } | Unsayable {
  const { direction, ethertype } = rule;
  if (direction !== 'ingress' && direction !== 'egress') return { reason: `direction ${JSON.stringify(direction)} is not known` };
  const ipVersion = ethertype === 'IPv4' ? 4 : ethertype === 'IPv6' ? 6 : undefined;
  if (!ipVersion) return { reason: `ethertype ${JSON.stringify(ethertype)} is not known` };
  const protocol = protocolOf(rule.protocol, ipVersion);
  if (protocol === undefined) return { reason: `protocol ${JSON.stringify(rule.protocol)} is not known` };
  if (protocol === 58 && ipVersion === 4) return { reason: 'ICMPv6 is not carried by IPv4' };
  const remote = remoteOf(rule, ipVersion);
  if (isUnsayable(remote)) return remote;
  const range = rangeOf(rule, protocol);
  if (isUnsayable(range)) return range;
  const source = direction === 'ingress' ? remote : {};
  const destination = { ...(direction === 'egress' && remote), ...(range.ports && { ports: range.ports }) };
  return {
    direction,
    rule: {
      action: 'Allow',
      ipVersion,
      ...(protocol !== 'any' && { protocol: protocol === 1 && ipVersion === 4 ? 'ICMP' : protocol === 58 ? 'ICMPv6' : protocol }),
      ...(range.icmp && { icmp: range.icmp }),
      ...(Object.keys(source).length > 0 && { source }),
      ...(Object.keys(destination).length > 0 && { destination }),
    },
  };
}

/** Why a group is refused; undefined when it is not. */
export const groupRefusal = (group: { readonly stateful?: unknown }): string | undefined =>
  group.stateful === false ? 'a stateless security group is not supported: Calico tracks connections. Create it stateful' : undefined;

/** The content of a group's NetworkPolicy. Rules are sorted by id, so the order is always the same. `warn` is called for each rule that is left out. */
export function policyContent(group: SecurityGroupRow, namespace: string, warn: (ruleId: string, reason: string) => void = () => {}): ResourceContent {
  const rules: Record<'ingress' | 'egress', CalicoRule[]> = { ingress: [], egress: [] };
  for (const row of (group.rules ?? []).toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
    const said = calicoRule(row);
    if (isUnsayable(said)) warn(row.id, said.reason);
    else rules[said.direction].push(said.rule);
  }
  return { kind: 'NetworkPolicy', name: policyName(group.id), namespace, spec: { selector: `has(${groupLabel(group.id)})`, ...rules } };
}
