// Decodes `source` or `destination` of a rule.
import type { Cidr } from '@calico-openstack/addresses';
import { type Decoded, decoded, isFields, type PortRange, refused, show } from '@calico-openstack/datamodel';
import { canonical, type Selector } from '../selector/canonical.ts';
import { and, type Expression, isIn, not } from '../selector/expression.ts';
import { readNets, readPorts } from './conditions.ts';
import { fieldNames, readFields, readTexts } from './fields.ts';
import { inNamespace, readRuleNamespaceSelector, readSelector, readServiceAccountSelector, serviceAccountLabel } from './scope.ts';

/** The conditions of one side that are understood. Its selectors are scoped and merged into one `selector`, or into `notSelector` when the side has nothing but that. */
export type SideDefinition = {
  readonly nets?: readonly Cidr[];
  readonly notNets?: readonly Cidr[];
  readonly selector?: Selector;
  readonly notSelector?: Selector;
  readonly ports?: readonly PortRange[];
  readonly namedPorts?: readonly string[];
  readonly notPorts?: readonly PortRange[];
  readonly notNamedPorts?: readonly string[];
};

/** What decoding a side needs to know about the rule around it. */
export type SideContext = {
  /** The policy's namespace; undefined for global policies and profiles. */
  readonly namespace: string | undefined;
  /** The rule's protocol; undefined when it has none, or none that is understood. */
  readonly protocol: number | undefined;
  /** Called for every condition that is not understood, and that is therefore missing from the result. */
  readonly complain: (reason: string) => void;
};

const sideFields = fieldNames('nets', 'notNets', 'selector', 'notSelector', 'namespaceSelector', 'ports', 'notPorts', 'serviceAccounts');

/** Decodes one side of a rule. */
export function readSide(value: unknown, context: SideContext): SideDefinition {
  if (value === undefined) return {};
  const { complain, protocol } = context;
  if (!isFields(value)) {
    complain(`is ${show(value)}, not an object`);
    return {};
  }
  const { fields, unknown } = readFields(value, sideFields);
  for (const name of unknown) complain(`has the field ${show(name)}, which is not known`);
  const understood = <T>(name: string, condition: Decoded<T>): T | undefined => {
    if (condition.ok) return condition.value;
    complain(`${name} ${condition.reason}`);
    return undefined;
  };
  const nets = understood('nets', readNets(fields.nets));
  const notNets = understood('notNets', readNets(fields.notNets));
  const ports = understood('ports', readPorts(fields.ports, protocol));
  const notPorts = understood('notPorts', readPorts(fields.notPorts, protocol));
  return {
    ...(nets && { nets }),
    ...(notNets && { notNets }),
    ...readSelectors(fields, context),
    ...(ports && ports.ranges.length > 0 && { ports: ports.ranges }),
    ...(ports && ports.names.length > 0 && { namedPorts: ports.names }),
    ...(notPorts && notPorts.ranges.length > 0 && { notPorts: notPorts.ranges }),
    ...(notPorts && notPorts.names.length > 0 && { notNamedPorts: notPorts.names }),
  };
}

type SelectorFields = { readonly selector?: unknown; readonly notSelector?: unknown; readonly namespaceSelector?: unknown; readonly serviceAccounts?: unknown };

/** A side with at least one selector that is understood is confined to the policy's own namespace, unless it has a `namespaceSelector`. */
function readSelectors(fields: SelectorFields, { namespace, complain }: SideContext): Pick<SideDefinition, 'selector' | 'notSelector'> {
  const part = (name: keyof SelectorFields, read: (value: unknown) => Decoded<Expression | undefined>): Expression | undefined => {
    const selector = read(fields[name]);
    if (selector.ok) return selector.value;
    complain(`${name} ${selector.reason}`);
    return undefined;
  };
  const excluded = part('notSelector', readSelector);
  const wanted = [part('selector', readSelector), part('serviceAccounts', readAccounts), part('namespaceSelector', readRuleNamespaceSelector)].filter(
    (expression) => expression !== undefined,
  );
  const confined = namespace !== undefined && (fields.namespaceSelector === undefined || fields.namespaceSelector === '');
  if (confined && (wanted.length > 0 || excluded)) wanted.push(inNamespace(namespace));
  if (wanted.length > 0) return { selector: canonical(and(...wanted, ...(excluded ? [not(excluded)] : []))) };
  return excluded ? { notSelector: canonical(excluded) } : {};
}

const accountFields = fieldNames('names', 'selector');

/** Reads `serviceAccounts`: names and a selector, both of which must match. */
function readAccounts(value: unknown): Decoded<Expression | undefined> {
  if (value === undefined) return decoded(undefined);
  if (!isFields(value)) return refused('is not an object');
  const { fields, unknown } = readFields(value, accountFields);
  if (unknown.length > 0) return refused(`has the field ${show(unknown[0])}, which is not known`);
  const names = readTexts(fields.names);
  if (!names.ok) return refused(`names ${names.reason}`);
  const selector = readServiceAccountSelector(fields.selector);
  if (!selector.ok) return refused(`selector ${selector.reason}`);
  const parts = [...(names.value.length > 0 ? [isIn(serviceAccountLabel, names.value)] : []), ...(selector.value ? [selector.value] : [])];
  return decoded(parts.length > 0 ? and(...parts) : undefined);
}
