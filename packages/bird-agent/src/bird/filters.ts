// Prints BGPFilters as functions of BIRD's filter language, one for each direction and family that a session uses.
import { addressBits, type IpFamily } from '@calico-openstack/addresses';
import type { BgpFilter, Direction, FilterOperation, FilterRule, PrefixMatch } from '../resources/bgp-filter.ts';
import type { Community } from '../resources/values.ts';
import { symbol } from './text.ts';

/** LOCAL_PREF carries a kernel metric reversed, because the lower metric is the higher preference. Upstream's agent does the same. */
export const localPrefOfMetricZero = 2 ** 31 - 1;

/** The name of a filter's function. */
export const filterSymbol = (filter: BgpFilter, direction: Direction, family: IpFamily): string => symbol(`${direction}${family}`, filter.name);

/** The function's definition. Its argument says whether the session is eBGP. It accepts, rejects, or returns when no rule matches. */
export function filterFunction(filter: BgpFilter, direction: Direction, family: IpFamily): readonly string[] {
  const { rules, problem } = filter.rules[direction][family];
  return [
    `function ${filterSymbol(filter, direction, family)}(bool calico_external)`,
    '{',
    ...rules.map((rule) => `  ${ruleLine(rule, direction, family)}`),
    ...(problem ? ['  reject; # the next rule is not understood'] : []),
    '}',
  ];
}

function ruleLine(rule: FilterRule, direction: Direction, family: IpFamily): string {
  const conditions = ruleConditions(rule, family);
  const actions =
    rule.action === 'Reject' ? ['reject;'] : [...rule.operations.map(operationText), direction === 'import' ? 'calico_accept_import();' : 'accept;'];
  return conditions.length > 0 ? `if ${conditions.join(' && ')} then { ${actions.join(' ')} }` : actions.join(' ');
}

function ruleConditions(rule: FilterRule, family: IpFamily): string[] {
  return [
    rule.prefix && prefixCondition(rule.prefix, family),
    rule.learnedFromPeers ? 'source = RTS_BGP' : undefined,
    rule.interface === undefined ? undefined : `ifname ~ "${rule.interface}"`,
    rule.peerType && (rule.peerType === 'eBGP' ? 'calico_external' : '! calico_external'),
    rule.community && `${communityText(rule.community)} ~ ${communityAttribute(rule.community)}`,
    rule.asPathPrefix && `bgp_path ~ [= ${[...rule.asPathPrefix, '*'].join(' ')} =]`,
    rule.priority === undefined ? undefined : `defined(bgp_local_pref) && bgp_local_pref = ${localPrefOfMetricZero - rule.priority}`,
  ].flatMap((condition) => (condition === undefined ? [] : [`(${condition})`]));
}

function prefixCondition(match: PrefixMatch, family: IpFamily): string {
  switch (match.kind) {
    case 'equal':
      return `net ${match.negated ? '!=' : '='} ${match.cidr}`;
    case 'in': {
      const [least, most] = [match.minLength, Math.min(match.maxLength, addressBits(family))];
      if (least > most) return match.negated ? 'true' : 'false';
      return `net ${match.negated ? '!~' : '~'} [ ${match.cidr}{${least},${most}} ]`;
    }
    default:
      return match satisfies never;
  }
}

function operationText(operation: FilterOperation): string {
  switch (operation.kind) {
    case 'addCommunity':
      return `${addCommunity(operation.community)};`;
    case 'prependAsPath':
      return operation.asNumbers
        .toReversed()
        .map((asNumber) => `bgp_path.prepend(${asNumber});`)
        .join(' ');
    case 'setPriority':
      return `bgp_local_pref = ${localPrefOfMetricZero - operation.priority};`;
    default:
      return operation satisfies never;
  }
}

/** A statement that adds a community to the route. */
export const addCommunity = (community: Community): string => `${communityAttribute(community)}.add(${communityText(community)})`;
const communityAttribute = (community: Community): string => (community.length === 2 ? 'bgp_community' : 'bgp_large_community');
const communityText = (community: Community): string => `(${community.join(', ')})`;
