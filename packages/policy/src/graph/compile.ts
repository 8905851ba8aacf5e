// A rule as its policy's author wrote it becomes a rule whose selectors are sets.
import type { IpSetId, Rule, RuleSide } from '@calico-openstack/datamodel';
import type { RuleDefinition } from '../decode/rule.ts';
import type { SideDefinition } from '../decode/rule-side.ts';
import { matchesEverything, type Selector } from '../selector/canonical.ts';
import type { IpSetContent } from './ip-sets.ts';

/** @param setOf The id of the set with this content. */
export function compileRule(definition: RuleDefinition, setOf: (content: IpSetContent) => IpSetId): Rule {
  const { source, destination, ...rest } = definition;
  return { ...rest, source: compileSide(source, definition.protocol, setOf), destination: compileSide(destination, definition.protocol, setOf) };
}

function compileSide(side: SideDefinition, protocol: number | undefined, setOf: (content: IpSetContent) => IpSetId): RuleSide {
  const { selector, notSelector, namedPorts, notNamedPorts, ...rest } = side;
  // Named ports belong to endpoints that the selector matches, in the negated list too. All names of a list are one set: nftables knows no "or" between sets, so that a set
  // each would make a rule for each pair of a source's name and a destination's.
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
