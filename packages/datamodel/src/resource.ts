// The envelope that all of Calico's v3 resources share, decoded: bytes in; a value, or why not.

/** Content of a datastore value: what it means, or why it means nothing (a sentence fragment that fits behind "key …: "). */
export type Decoded<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string };

export const decoded = <T>(value: T): Decoded<T> => ({ ok: true, value });
export const refused = (reason: string): Decoded<never> => ({ ok: false, reason });

/**
 * A value as it stands in the datastore, short enough for a message. Objects and lists are not printed: one that nests deeply enough would overflow the stack,
 * and no content of the datastore may stop an agent.
 */
export function show(value: unknown): string {
  if (value === undefined) return 'absent';
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'an object';
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

export type Fields = Readonly<Record<string, unknown>>;
export type Labels = Readonly<Record<string, string>>;

export type Metadata = {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly creationTimestamp?: string;
  readonly labels: Labels;
  readonly annotations: Labels;
};

export type Resource = { readonly kind: string; readonly metadata: Metadata; readonly spec: Fields };

const utf8 = new TextDecoder('utf-8', { fatal: true });

export const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);

/** JSON text in UTF-8 as an object. */
export function decodeJsonObject(bytes: Uint8Array): Decoded<Fields> {
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(bytes));
  } catch (error) {
    return refused(`is not JSON: ${(error as Error).message}`);
  }
  return isFields(value) ? decoded(value) : refused('is not a JSON object');
}

/** Labels or annotations: absent and null are none; anything but text to text is refused. */
function decodeLabels(value: unknown, what: string): Decoded<Labels> {
  if (value === undefined || value === null) return decoded(noLabels);
  if (!isFields(value)) return refused(`metadata.${what} is not an object`);
  for (const name in value) if (typeof value[name] !== 'string') return refused(`metadata.${what}["${name}"] is not text`);
  return decoded(value as Labels);
}
const noLabels: Labels = Object.freeze({});

const optionalText = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/**
 * A v3 resource's envelope. The name (and namespace) of record is the key's, not the value's: `metadata.name` is only checked to be text where it is present.
 * `spec` stays undecoded; an absent one is empty.
 */
export function decodeResource(bytes: Uint8Array): Decoded<Resource> {
  const object = decodeJsonObject(bytes);
  if (!object.ok) return object;
  const { kind, metadata = {}, spec = {} } = object.value;
  if (!isFields(metadata)) return refused('metadata is not an object');
  if (!isFields(spec)) return refused('spec is not an object');
  const labels = decodeLabels(metadata['labels'], 'labels');
  if (!labels.ok) return labels;
  const annotations = decodeLabels(metadata['annotations'], 'annotations');
  if (!annotations.ok) return annotations;
  const { namespace, uid, creationTimestamp } = metadata;
  return decoded({
    kind: optionalText(kind) ?? '',
    metadata: {
      name: optionalText(metadata['name']) ?? '',
      ...(typeof namespace === 'string' && { namespace }),
      ...(typeof uid === 'string' && { uid }),
      ...(typeof creationTimestamp === 'string' && { creationTimestamp }),
      labels: labels.value,
      annotations: annotations.value,
    },
    spec,
  });
}
