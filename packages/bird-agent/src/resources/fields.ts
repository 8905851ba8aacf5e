// Reading the fields of a JSON object, one by one, and keeping what was not understood: no operator's value is taken on trust, and none is dropped without a word.
import { type Decoded, decoded, type Fields, isFields, refused } from '@calico-openstack/datamodel';

/** What is wrong with a field: its path inside the value (`spec.filters[2]`) and a fragment that fits behind "field: ". */
export type FieldProblem = { readonly field: string; readonly reason: string };

export type Parse<T> = (value: unknown) => Decoded<T>;

export interface FieldReader {
  /** The field's value; undefined where it is absent, null or empty text (Calico's writers omit empty fields), and where it is not understood, which is noted. */
  read<T>(name: string, parse: Parse<T>): T | undefined;
  /** Like `read`, for a field that must be there: its absence is noted. */
  require<T>(name: string, parse: Parse<T>): T | undefined;
  /** Notes a problem with a field. */
  problem(name: string, reason: string): void;
  /** The path of a field of this object. */
  path(name: string): string;
  /** Names that are there and were not asked for. */
  unread(): readonly string[];
}

/** Reads the fields of `fields`, which stands at `path` in its resource; problems are added to `problems`. */
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

/** A value as it may stand in a message: JSON, cut. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'undefined';
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** A list of at most so many, each of its elements parsed; the first that is not understood refuses the list. */
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

export const object: Parse<Fields> = (value) => (isFields(value) ? decoded(value) : refused(`${shown(value)} is not an object`));

export const text: Parse<string> = (value) => (typeof value === 'string' ? decoded(value) : refused(`${shown(value)} is not text`));

export const truth: Parse<boolean> = (value) => (typeof value === 'boolean' ? decoded(value) : refused(`${shown(value)} is neither true nor false`));

export const oneOf =
  <const T extends string>(...choices: readonly T[]): Parse<T> =>
  (value) =>
    choices.includes(value as T) ? decoded(value as T) : refused(`${shown(value)} is none of ${choices.join(', ')}`);

export const integer =
  (least: number, most: number): Parse<number> =>
  (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most
      ? decoded(value)
      : refused(`${shown(value)} is not a whole number from ${least} to ${most}`);
