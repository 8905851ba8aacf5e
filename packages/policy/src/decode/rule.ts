// Decodes a rule. A rule that is not fully understood fails closed: an Allow, Pass or Log matches nothing, a Deny keeps the conditions that are understood,
// and an unknown action denies.
import type { IpFamily } from '@calico-openstack/addresses';
import { type Decoded, type IcmpMatch, isFields, type RuleAction, show } from '@calico-openstack/datamodel';
import { readIcmp, readIpVersion, readProtocol } from './conditions.ts';
import { fieldNames, readFields } from './fields.ts';
import { faultOf } from './reading.ts';
import { readSide, type SideDefinition } from './rule-side.ts';

/** A rule as its author wrote it. An absent field is no condition. */
export type RuleDefinition = {
  readonly action: RuleAction;
  readonly ipVersion?: IpFamily;
  readonly protocol?: number;
  readonly notProtocol?: number;
  readonly icmp?: IcmpMatch;
  readonly notIcmp?: IcmpMatch;
  readonly source: SideDefinition;
  readonly destination: SideDefinition;
};

/** A rule that denies every packet. */
export const denyEverything: RuleDefinition = { action: 'deny', source: {}, destination: {} };
/** A rule that allows every packet. */
export const allowEverything: RuleDefinition = { action: 'allow', source: {}, destination: {} };

const ruleFields = fieldNames('action', 'ipVersion', 'protocol', 'notProtocol', 'icmp', 'notICMP', 'source', 'destination', 'http', 'metadata');
const actions: ReadonlyMap<string, RuleAction> = new Map([
  ['allow', 'allow'],
  ['deny', 'deny'],
  ['log', 'log'],
  ['pass', 'pass'],
]);

/**
 * Decodes one rule.
 * @param namespace the policy's, which the rule's selectors are confined to; undefined for global policies and profiles
 * @param complain called for everything in the rule that is not understood
 * @returns undefined when the rule matches nothing
 */
export function decodeRule(value: unknown, namespace: string | undefined, complain: (reason: string) => void): RuleDefinition | undefined {
  if (!isFields(value)) {
    complain(`is ${show(value)}, not an object; it denies`);
    return denyEverything;
  }
  const problems: string[] = [];
  const understood = <T>(name: string, condition: Decoded<T>): T | undefined => {
    if (condition.ok) return condition.value;
    problems.push(`${name} ${condition.reason}`);
    return undefined;
  };
  const { fields, unknown } = readFields(value, ruleFields);
  for (const name of unknown) problems.push(`has the field ${show(name)}, which is not known`);
  if (fields.http !== undefined) problems.push('http is a match that is not enforced here');
  const protocol = understood('protocol', readProtocol(fields.protocol));
  const notProtocol = understood('notProtocol', readProtocol(fields.notProtocol));
  const ipVersion = understood('ipVersion', readIpVersion(fields.ipVersion)) ?? (fields.ipVersion === undefined ? protocol?.impliedVersion : undefined);
  const icmp = understood('icmp', readIcmp(fields.icmp));
  const notIcmp = understood('notICMP', readIcmp(fields.notICMP));
  const side = (name: 'source' | 'destination') =>
    readSide(fields[name], { namespace, protocol: protocol?.number, complain: (reason) => problems.push(`${name} ${reason}`) });
  const [source, destination] = [side('source'), side('destination')];

  const action = typeof fields.action === 'string' ? actions.get(fields.action.toLowerCase()) : undefined;
  if (!action) complain(`action is ${show(fields.action)}, none of Allow, Deny, Log and Pass; it denies`);
  for (const problem of problems) complain(problem);
  if (problems.length > 0 && action !== undefined && action !== 'deny') return undefined;
  return {
    action: action ?? 'deny',
    ...(ipVersion && { ipVersion }),
    ...(protocol && { protocol: protocol.number }),
    ...(notProtocol && { notProtocol: notProtocol.number }),
    ...(icmp && { icmp }),
    ...(notIcmp && { notIcmp }),
    source,
    destination,
  };
}

/**
 * Decodes the rules of one direction, in order, without those that match nothing. A value that is not a list may have been meant as a Deny of everything, so it becomes one.
 * @param where the field's path, for messages
 */
export function decodeRules(value: unknown, where: string, namespace: string | undefined, complain: (reason: string) => void): readonly RuleDefinition[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) {
    complain(`${where} is ${show(value)}, not a list; it denies`);
    return [denyEverything];
  }
  return (value as unknown[]).flatMap((entry, index) => {
    const complainOf = (reason: string): void => complain(`${where}[${index}] ${reason}`);
    try {
      return decodeRule(entry, namespace, complainOf) ?? [];
    } catch (error) {
      complainOf(`${faultOf(error)}; it denies`);
      return denyEverything;
    }
  });
}

/** The Deny rules: all that remains of a policy when it is not known where it applies. */
export const onlyDenials = (rules: readonly RuleDefinition[]): readonly RuleDefinition[] => rules.filter((rule) => rule.action === 'deny');
