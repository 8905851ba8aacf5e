// Decodes the envelope that all of Calico's v3 resources share: bytes in; out comes a value, or the reason why there is none.

/** A decoded datastore value, or why it cannot be used: a phrase that follows "key …: ". */
export type Decoded<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string };

/** A successful result. */
export const decoded = <T>(value: T): Decoded<T> => ({ ok: true, value });
/** A refusal with its reason. */
export const refused = (reason: string): Decoded<never> => ({ ok: false, reason });

/**
 * A datastore value as text for a message, shortened. Objects and lists are not printed: a deeply nested one would overflow the stack, and no content of the datastore may stop
 * an agent.
 */
export function show(value: unknown): string {
  if (value === undefined) return 'absent';
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'an object';
  if (typeof value === 'string' && value.length > shownMax) return `${JSON.stringify(value.slice(0, shownMax))}…`;
  return JSON.stringify(value);
}
const shownMax = 80;

/** A JSON object whose fields are not checked yet. */
export type Fields = Readonly<Record<string, unknown>>;
/** Labels or annotations. */
export type Labels = Readonly<Record<string, string>>;

/** A resource's `metadata`. */
export type Metadata = {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly creationTimestamp?: string;
  readonly labels: Labels;
  readonly annotations: Labels;
};

/** A resource whose envelope is decoded and whose `spec` is not. */
export type Resource = { readonly kind: string; readonly metadata: Metadata; readonly spec: Fields };

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Whether a value is a JSON object: neither null nor a list. */
export const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);

/** The greatest length in bytes of a value that is read. By default etcd accepts requests of at most 1.5 MiB (--max-request-bytes), so Calico's own tools write no longer value. */
export const valueBytesMax = 2 * 1024 * 1024;
/** The greatest nesting depth of a value that is read. Calico's resources nest about ten deep. Recursive code (JSON.stringify, comparing, printing) has stack for many times this depth. */
export const nestingMax = 100;

/** Parses JSON text that anybody may have written. Refuses text that nests deeper than `nestingMax`. */
export function parseJson(text: string): Decoded<unknown> {
  if (nestsTooDeep(text)) return refused(`nests deeper than ${nestingMax} objects and lists`);
  try {
    return decoded(JSON.parse(text));
  } catch (error) {
    return refused(`is not JSON: ${(error as Error).message}`);
  }
}

/** Whether JSON text nests deeper than `nestingMax`. Most texts have too few brackets for that, which costs next to nothing to find out; the others are scanned. */
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
 * Decodes UTF-8 JSON text to an object. All bytes of the datastore become values here. The value is bounded in size and depth, so the code behind it may walk through it without checks.
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

/** Decodes labels or annotations. Absent and null mean none; anything but an object of texts is refused. */
function decodeLabels(value: unknown, what: string): Decoded<Labels> {
  if (value === undefined || value === null) return decoded(noLabels);
  if (!isFields(value)) return refused(`metadata.${what} is not an object`);
  for (const name in value) if (typeof value[name] !== 'string') return refused(`metadata.${what}[${show(name)}] is not text`);
  return decoded(value as Labels);
}
const noLabels: Labels = Object.freeze({});

const optionalText = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/**
 * Decodes a v3 resource's envelope. The name and namespace that count are those in the key: `metadata.name` is read where it is text, and not compared.
 * `spec` is not decoded; an absent one is empty.
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
