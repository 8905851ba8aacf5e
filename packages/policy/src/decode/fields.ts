// An object's fields by the names that are known. Field names match in any case, as Calico's own readers match them, so that a differently spelled
// limit is never overlooked; null is absent.
import { type Decoded, decoded, type Fields, refused, show } from '@calico-openstack/datamodel';

export type FieldNames<Name extends string> = ReadonlyMap<string, Name>;

export const fieldNames = <Name extends string>(...names: readonly Name[]): FieldNames<Name> => new Map(names.map((name) => [name.toLowerCase(), name]));

export type KnownFields<Name extends string> = {
  readonly fields: { readonly [name in Name]?: unknown } /** Names that are not known, or stand there twice. */;
  readonly unknown: readonly string[];
};

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

/** A list of text; absent is empty. */
export function readTexts(value: unknown): Decoded<readonly string[]> {
  if (value === undefined || value === null) return decoded([]);
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string') ? decoded(value as string[]) : refused('is not a list of text');
}

/** A finite number; absent is undefined. */
export function readNumber(value: unknown): Decoded<number | undefined> {
  if (value === undefined || value === null) return decoded(undefined);
  return typeof value === 'number' && Number.isFinite(value) ? decoded(value) : refused(`is ${show(value)}, not a number`);
}

/** Text; absent and empty are undefined. */
export function readText(value: unknown): Decoded<string | undefined> {
  if (value === undefined || value === null || value === '') return decoded(undefined);
  return typeof value === 'string' ? decoded(value) : refused(`is ${show(value)}, not text`);
}

/** True or false; absent is false. */
export function readFlag(value: unknown): Decoded<boolean> {
  if (value === undefined || value === null) return decoded(false);
  return typeof value === 'boolean' ? decoded(value) : refused(`is ${show(value)}, neither true nor false`);
}

export const isIntegerBetween = (value: unknown, first: number, last: number): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= first && value <= last;
