// Compiles a rule as its author wrote it into a rule whose selectors are IP sets.
import type { IpSetId, Rule, RuleSide } from '@calico-openstack/datamodel';
import type { RuleDefinition } from '../decode/rule.ts';
import type { SideDefinition } from '../decode/rule-side.ts';
import { matchesEverything, type Selector } from '../selector/canonical.ts';
import type { IpSetContent } from './ip-sets.ts';

/**
 * Compiles a rule.
 * @param setOf returns the id of the IP set with this content
 */
export function compileRule(definition: RuleDefinition, setOf: (content: IpSetContent) => IpSetId): Rule {
  const { source, destination, ...rest } = definition;
  return { ...rest, source: compileSide(source, definition.protocol, setOf), destination: compileSide(destination, definition.protocol, setOf) };
}

function compileSide(side: SideDefinition, protocol: number | undefined, setOf: (content: IpSetContent) => IpSetId): RuleSide {
  const { selector, notSelector, namedPorts, notNamedPorts, ...rest } = side;
  // Named ports belong to the endpoints that the selector matches, in the negated list too. All names of a list share one set: nftables has no "or" between sets, so one set a name
  // would need a rule for each pair of a source's name and a destination's name.
  const portSet = (names: readonly string[]): IpSetId =>
    setOf({ selector: selector ?? matchesEverything, ports: { names: new Set(names.toSorted()), ...(protocol !== undefined && { protocol }) } });
  return {
    ...rest,
    ...(selector && !(namedPorts && !rest.ports) && setsOf('sets', selector, setOf)),
    ...(notSelector && setsOf('notSets', notSelector, setOf)),
    ...(namedPorts && { namedPorts: [portSet(namedPorts)] }),
    ...(notNamedPorts && { notNamedPorts: [portSet(notNamedPorts)] }),
  };
}

const setsOf = (name: 'sets' | 'notSets', selector: Selector, setOf: (content: IpSetContent) => IpSetId) => ({ [name]: [setOf({ selector })] });
