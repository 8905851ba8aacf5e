// FelixConfiguration resources as sources of parameters, and which of them count on this host.
import type { Source } from '@calico-openstack/agent';
import { type Decoded, decoded, decodeResource, type Fields, type Labels, refused } from '@calico-openstack/datamodel';
import { matches, parseExpression } from '@calico-openstack/policy';

/** What one FelixConfiguration says. */
export type FelixConfiguration = {
  readonly source: Source;
  /** `spec.nodeSelector`, read; undefined where there is none. */
  readonly selects: ((nodeLabels: Labels) => boolean) | undefined;
  /** `metadata.creationTimestamp`, empty where there is none. */
  readonly created: string;
};

const annotationPrefix = 'config.projectcalico.org/';

/** Annotations `config.projectcalico.org/<Parameter>` have the parameter's name, which some fields have not: they beat the field of that parameter. */
const fieldOfParameter: ReadonlyMap<string, string> = new Map([
  ['reportingintervalsecs', 'reportinginterval'],
  ['reportingttlsecs', 'reportingttl'],
]);

/** A FelixConfiguration's fields as parameters' texts. */
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
 * The FelixConfigurations that count on a host, the first with precedence: `node.<host>`; of those with any other name that select the host's Node the oldest, then the first by name;
 * `default`. As with upstream: without a Node no selector counts, and of several that select it one alone does.
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

/** Whether a FelixConfiguration of this name counts where its selector says. */
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

/** Text as it is, anything else as JSON: String() would call what the value itself says its `toString` is. */
const plainText = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

/** Go's durations (`30s`, `1m30s`, `250ms`) as seconds. */
function duration(text: string): string | undefined {
  if (!/^([0-9]+(\.[0-9]+)?(h|ms|m|s))+$/.test(text)) return undefined;
  const unit = { h: 3600, m: 60, s: 1, ms: 0.001 } as const;
  let total = 0;
  for (const [, number, , name] of text.matchAll(/([0-9]+(\.[0-9]+)?)(h|ms|m|s)/g)) total += Number(number) * unit[name as keyof typeof unit];
  return String(total);
}

const isPort = (value: unknown): value is Fields => typeof value === 'object' && value !== null && 'port' in value;

/** A failsafe port, as the parameter writes it. */
function portText({ protocol, port, net }: Fields): string {
  const network = typeof net === 'string' ? `${net.includes(':') ? `[${net}]` : net}:` : '';
  return `${plainText(protocol ?? 'tcp').toLowerCase()}:${network}${plainText(port)}`;
}
