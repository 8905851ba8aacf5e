// Reads the fields of a JSON object one by one and collects what is wrong: every value is checked, and none is dropped silently.
import { type Decoded, decoded, type Fields, isFields, refused } from '@calico-openstack/datamodel';

/** A problem of a field: its path in the value (`spec.filters[2]`), and a phrase that follows "field: ". */
export type FieldProblem = { readonly field: string; readonly reason: string };

/** A parser of a field's value. */
export type Parse<T> = (value: unknown) => Decoded<T>;

/** Reads the fields of one object. */
export interface FieldReader {
  /** The field's value; undefined when it is absent, null or empty text (Calico's writers omit empty fields), and when it is invalid, which is recorded. */
  read<T>(name: string, parse: Parse<T>): T | undefined;
  /** Like `read`, and records the absence of the field as a problem. */
  require<T>(name: string, parse: Parse<T>): T | undefined;
  /** Records a problem of a field. */
  problem(name: string, reason: string): void;
  /** The path of a field of this object. */
  path(name: string): string;
  /** The names of fields that were not read. */
  unread(): readonly string[];
}

/** A reader for `fields`, which stand at `path` in their resource. Problems are added to `problems`. */
export function readFields(fields: Fields, path: string, problems: FieldProblem[]): FieldReader {
  const asked = new Set<string>();
  const pathOf = (name: string): string => `${path}.${name}`;
  const problem = (name: string, reason: string): void => {
    problems.push({ field: pathOf(name), reason });
  };
  function read<T>(name: string, parse: Parse<T>): T | undefined {
    asked.add(name);
    const value = fields[name];
    if (isAbsent(value)) return undefined;
    const result = parse(value);
    if (result.ok) return result.value;
    problem(name, result.reason);
    return undefined;
  }
  return {
    read,
    require(name, parse) {
      if (isAbsent(fields[name])) problem(name, 'is missing');
      return read(name, parse);
    },
    problem,
    path: pathOf,
    unread: () => Object.keys(fields).filter((name) => !asked.has(name) && !isAbsent(fields[name])),
  };
}

const isAbsent = (value: unknown): boolean => value === undefined || value === null || value === '';

/** A value as shortened JSON for a message. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'undefined';
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** A parser of lists of at most `most` elements, which are parsed each; the first invalid one refuses the list. */
export const list =
  <T>(parse: Parse<T>, most = Number.POSITIVE_INFINITY): Parse<readonly T[]> =>
  (value) => {
    if (!Array.isArray(value)) return refused(`${shown(value)} is not a list`);
    if (value.length > most) return refused(`is a list of ${value.length}, and ${most} are the most`);
    const parsed: T[] = [];
    for (const [index, element] of value.entries()) {
      const result = parse(element);
      if (!result.ok) return refused(`[${index}] ${result.reason}`);
      parsed.push(result.value);
    }
    return decoded(parsed);
  };

/** A JSON object. */
export const object: Parse<Fields> = (value) => (isFields(value) ? decoded(value) : refused(`${shown(value)} is not an object`));

/** Text. */
export const text: Parse<string> = (value) => (typeof value === 'string' ? decoded(value) : refused(`${shown(value)} is not text`));

/** A boolean. */
export const truth: Parse<boolean> = (value) => (typeof value === 'boolean' ? decoded(value) : refused(`${shown(value)} is neither true nor false`));

/** One of these texts. */
export const oneOf =
  <const T extends string>(...choices: readonly T[]): Parse<T> =>
  (value) =>
    choices.includes(value as T) ? decoded(value as T) : refused(`${shown(value)} is none of ${choices.join(', ')}`);

/** A whole number within these bounds. */
export const integer =
  (least: number, most: number): Parse<number> =>
  (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most
      ? decoded(value)
      : refused(`${shown(value)} is not a whole number from ${least} to ${most}`);
