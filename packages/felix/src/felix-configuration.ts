// Reads FelixConfiguration resources as sources of parameters, and decides which of them count on this host.
import type { Source } from '@calico-openstack/agent';
import { type Decoded, decoded, decodeResource, type Fields, type Labels, refused } from '@calico-openstack/datamodel';
import { matches, parseExpression } from '@calico-openstack/policy';

/** One FelixConfiguration. */
export type FelixConfiguration = {
  /** The parameters that it sets. */
  readonly source: Source;
  /** Whether `spec.nodeSelector` selects a Node with these labels; undefined when there is no selector. */
  readonly selects: ((nodeLabels: Labels) => boolean) | undefined;
  /** `metadata.creationTimestamp`, or empty. */
  readonly created: string;
};

const annotationPrefix = 'config.projectcalico.org/';

/**
 * The fields whose names differ from their parameters' names, by parameter. An annotation `config.projectcalico.org/<Parameter>` has the parameter's name, and takes precedence over
 * the field of that parameter.
 */
const fieldOfParameter: ReadonlyMap<string, string> = new Map([
  ['reportingintervalsecs', 'reportinginterval'],
  ['reportingttlsecs', 'reportingttl'],
]);

/** Reads a resource of etcd. The fields become texts, as a file would have them. */
export function readFelixConfiguration(name: string, bytes: Uint8Array): Decoded<FelixConfiguration> {
  const resource = decodeResource(bytes);
  if (!resource.ok) return resource;
  const { spec, metadata } = resource.value;
  const texts = new Map<string, string>();
  for (const [field, value] of Object.entries(spec)) texts.set(field.toLowerCase(), fieldText(value));
  for (const [annotation, value] of Object.entries(metadata.annotations)) {
    const parameter = annotation.startsWith(annotationPrefix) ? annotation.slice(annotationPrefix.length).toLowerCase() : undefined;
    if (parameter !== undefined) texts.set(fieldOfParameter.get(parameter) ?? parameter, value);
  }
  texts.delete('nodeselector');
  const selects = nodeSelector(spec['nodeSelector']);
  if (!selects.ok) return selects;
  return decoded({
    source: { name: `FelixConfiguration ${name}`, dialect: 'resource', texts },
    selects: selects.value,
    created: metadata.creationTimestamp ?? '',
  });
}

function nodeSelector(selector: unknown): Decoded<FelixConfiguration['selects']> {
  if (selector === undefined || selector === null || selector === '') return decoded(undefined);
  if (typeof selector !== 'string') return refused('spec.nodeSelector is no text');
  const expression = parseExpression(selector);
  if (!expression.ok) return refused(`spec.nodeSelector ${expression.reason}`);
  return decoded((labels) => matches(expression.value, { get: (label) => (Object.hasOwn(labels, label) ? labels[label] : undefined) }));
}

/**
 * The FelixConfigurations that count on a host, in order of precedence: `node.<host>`; one with another name whose selector selects the host's Node; `default`. Of several that select the
 * Node only the oldest counts, or the first by name among equally old ones. Without a Node no selector counts. These rules are upstream's.
 */
export function configurationsOf(
  host: string,
  configurations: ReadonlyMap<string, FelixConfiguration>,
  nodeLabels: Labels | undefined,
): readonly FelixConfiguration[] {
  const selected = [...configurations]
    .filter(([name, { selects }]) => isSelected(name) && nodeLabels !== undefined && selects?.(nodeLabels))
    .sort(([oneName, one], [otherName, other]) => compare(one.created, other.created) || compare(oneName, otherName))
    .map(([, configuration]) => configuration);
  return [configurations.get(`node.${host}`), selected[0], configurations.get('default')].filter((configuration) => configuration !== undefined);
}

/** Whether the selector of a FelixConfiguration of this name decides where it counts. */
const isSelected = (name: string): boolean => name !== 'default' && !name.startsWith('node.');

/** Whether a FelixConfiguration of this name may count on a host. */
export const concerns = (host: string, name: string): boolean => name === 'default' || name === `node.${host}` || isSelected(name);

const compare = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);

function fieldText(value: unknown): string {
  if (typeof value === 'string') return duration(value) ?? value;
  if (value === null) return '';
  if (!Array.isArray(value)) return plainText(value);
  if (value.length === 0) return 'none';
  return value.map((entry: unknown) => (isPort(entry) ? portText(entry) : plainText(entry))).join(',');
}

/** A text as it is, anything else as JSON. String() would call `toString`, which a value from etcd can replace. */
const plainText = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

/** A duration as Go writes it (`30s`, `1m30s`, `250ms`), in seconds; undefined when the text is not a duration. */
function duration(text: string): string | undefined {
  if (!/^([0-9]+(\.[0-9]+)?(h|ms|m|s))+$/.test(text)) return undefined;
  const unit = { h: 3600, m: 60, s: 1, ms: 0.001 } as const;
  let total = 0;
  for (const [, number, , name] of text.matchAll(/([0-9]+(\.[0-9]+)?)(h|ms|m|s)/g)) total += Number(number) * unit[name as keyof typeof unit];
  return String(total);
}

const isPort = (value: unknown): value is Fields => typeof value === 'object' && value !== null && 'port' in value;

/** A failsafe port in the syntax of the parameter. */
function portText({ protocol, port, net }: Fields): string {
  const network = typeof net === 'string' ? `${net.includes(':') ? `[${net}]` : net}:` : '';
  return `${plainText(protocol ?? 'tcp').toLowerCase()}:${network}${plainText(port)}`;
}
