// Reads the known fields of a JSON object. Field names match in any case, as in Calico's own readers, so that a limit in another spelling
// is never overlooked. null counts as absent.
import { type Decoded, decoded, type Fields, refused, show } from '@calico-openstack/datamodel';

/** Field names by their lower-case spelling. */
export type FieldNames<Name extends string> = ReadonlyMap<string, Name>;

/** The table of known field names for `readFields`. */
export const fieldNames = <Name extends string>(...names: readonly Name[]): FieldNames<Name> => new Map(names.map((name) => [name.toLowerCase(), name]));

/** The fields of an object, sorted out by `readFields`. */
export type KnownFields<Name extends string> = {
  readonly fields: { readonly [name in Name]?: unknown };
  /** Field names that are not known, or that occur a second time. */
  readonly unknown: readonly string[];
};

/** Splits an object into its known fields and the names of all others. */
export function readFields<Name extends string>(value: Fields, names: FieldNames<Name>): KnownFields<Name> {
  const fields: { [name in Name]?: unknown } = {};
  const unknown: string[] = [];
  for (const given of Object.keys(value)) {
    const content = value[given];
    if (content === null || content === undefined) continue;
    const name = names.get(given.toLowerCase());
    if (name === undefined || fields[name] !== undefined) unknown.push(given);
    else fields[name] = content;
  }
  return { fields, unknown };
}

/** Reads a list of strings. An absent list is empty. */
export function readTexts(value: unknown): Decoded<readonly string[]> {
  if (value === undefined || value === null) return decoded([]);
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string') ? decoded(value as string[]) : refused('is not a list of text');
}

/** Reads a finite number; undefined when it is absent. */
export function readNumber(value: unknown): Decoded<number | undefined> {
  if (value === undefined || value === null) return decoded(undefined);
  return typeof value === 'number' && Number.isFinite(value) ? decoded(value) : refused(`is ${show(value)}, not a number`);
}

/** Reads a string; undefined when it is absent or empty. */
export function readText(value: unknown): Decoded<string | undefined> {
  if (value === undefined || value === null || value === '') return decoded(undefined);
  return typeof value === 'string' ? decoded(value) : refused(`is ${show(value)}, not text`);
}

/** Reads a boolean. An absent one is false. */
export function readFlag(value: unknown): Decoded<boolean> {
  if (value === undefined || value === null) return decoded(false);
  return typeof value === 'boolean' ? decoded(value) : refused(`is ${show(value)}, neither true nor false`);
}

/** Whether the value is an integer from `first` to `last`, both included. */
export const isIntegerBetween = (value: unknown, first: number, last: number): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= first && value <= last;
