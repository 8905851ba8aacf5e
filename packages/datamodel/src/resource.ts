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
  if (typeof value === 'string' && value.length > shownMax) return `${JSON.stringify(value.slice(0, shownMax))}…`;
  return JSON.stringify(value);
}
const shownMax = 80;

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

/** More than etcd takes in one request unless somebody allows it (--max-request-bytes, 1.5 MiB), so more than any value that Calico's own tools write. */
export const valueBytesMax = 2 * 1024 * 1024;
/** Calico's resources nest about ten deep. Whatever walks a value step by step into its depth (JSON.stringify, comparing, printing) has stack for this many times over. */
export const nestingMax = 100;

/** JSON text that anybody may have written, as a value that nests no deeper than `nestingMax`. */
export function parseJson(text: string): Decoded<unknown> {
  if (nestsTooDeep(text)) return refused(`nests deeper than ${nestingMax} objects and lists`);
  try {
    return decoded(JSON.parse(text));
  } catch (error) {
    return refused(`is not JSON: ${(error as Error).message}`);
  }
}

/** Most texts have too few brackets to nest deeply, which costs next to nothing to find out; the others are read through. */
function nestsTooDeep(text: string): boolean {
  let brackets = 0;
  for (const bracket of ['{', '[']) for (let at = text.indexOf(bracket); at >= 0 && brackets <= nestingMax; at = text.indexOf(bracket, at + 1)) brackets += 1;
  if (brackets <= nestingMax) return false;
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (quoted) {
      if (code === backslash) at += 1;
      else if (code === quote) quoted = false;
    } else if (code === quote) quoted = true;
    else if (code === openBrace || code === openBracket) {
      depth += 1;
      if (depth > nestingMax) return true;
    } else if (code === closeBrace || code === closeBracket) depth -= 1;
  }
  return false;
}
const [quote, backslash, openBrace, closeBrace, openBracket, closeBracket] = [0x22, 0x5c, 0x7b, 0x7d, 0x5b, 0x5d];

/**
 * JSON text in UTF-8 as an object: the one way by which bytes of the datastore become values. Bounded in size and depth, so that nothing behind it need ask whether a value
 * can be walked through.
 */
export function decodeJsonObject(bytes: Uint8Array): Decoded<Fields> {
  if (bytes.length > valueBytesMax) return refused(`is ${bytes.length} bytes long, and ${valueBytesMax} are the most that is read`);
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    return refused('is not UTF-8');
  }
  const value = parseJson(text);
  if (!value.ok) return value;
  return isFields(value.value) ? decoded(value.value) : refused('is not a JSON object');
}

/** Labels or annotations: absent and null are none; anything but text to text is refused. */
function decodeLabels(value: unknown, what: string): Decoded<Labels> {
  if (value === undefined || value === null) return decoded(noLabels);
  if (!isFields(value)) return refused(`metadata.${what} is not an object`);
  for (const name in value) if (typeof value[name] !== 'string') return refused(`metadata.${what}[${show(name)}] is not text`);
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
