// How the texts of options are read. Each parser says what it wants, so that whoever wrote the text can put it right.
import { isAbsolute } from 'node:path';
import { type Severity, severities } from '../log.ts';
import type { Dialect, Parsed, Parser } from './option.ts';

/** A text that was understood. @param remark what of it was not taken, and what that means */
export const good = <T>(value: T, remark?: string): Parsed<T> => ({ ok: true, value, ...(remark !== undefined && { remark }) });
export const bad = (reason: string): Parsed<never> => ({ ok: false, reason });
const mustBe = (expected: string): Parsed<never> => bad(`it must be ${expected}`);

/** Any text. */
export const text: Parser<string> = (value) => good(value);

/** A text for which `holds` is true. @param expected behind "it must be" */
export const matching =
  (holds: RegExp | ((value: string) => boolean), expected: string): Parser<string> =>
  (value) =>
    (holds instanceof RegExp ? holds.test(value) : holds(value)) ? good(value) : mustBe(expected);

const [yes, no] = [new Set(['true', '1', 'yes', 'on', 'y', 't']), new Set(['false', '0', 'no', 'off', 'n', 'f'])];

/** What Calico and OpenStack take for true and false, in any case. */
export const truth: Parser<boolean> = (value) => {
  const word = value.toLowerCase();
  return yes.has(word) || no.has(word) ? good(yes.has(word)) : mustBe('true or false');
};

/** The whole number that a text is: Calico reads `0x1f` and `010` (octal) as Go does; neutron.conf is read by Python, for which `010` is ten. NaN when it is none. */
function wholeNumber(value: string, dialect: Dialect): number {
  if (/^[+-]?[0-9]+$/.test(value)) return dialect !== 'conf' && /^0[0-7]+$/.test(value) ? Number.parseInt(value, 8) : Number(value);
  return dialect !== 'conf' && /^0x[0-9a-f]+$/i.test(value) ? Number(value) : Number.NaN;
}

/** A whole number, both ends included. */
export const whole =
  (least: number, most = Number.MAX_SAFE_INTEGER): Parser<number> =>
  (value, dialect) => {
    const number = wholeNumber(value, dialect);
    if (Number.isSafeInteger(number) && number >= least && number <= most) return good(number);
    return mustBe(most === Number.MAX_SAFE_INTEGER ? `a whole number of at least ${least}` : `a whole number from ${least} to ${most}`);
  };

/** A number, both ends included; a fraction is one. */
export const decimal =
  (least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY): Parser<number> =>
  (value) => {
    const number = /^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?$/i.test(value) ? Number(value) : Number.NaN;
    if (Number.isFinite(number) && number >= least && number <= most) return good(number);
    if (least === Number.NEGATIVE_INFINITY) return mustBe('a number');
    return mustBe(most === Number.POSITIVE_INFINITY ? `a number of at least ${least}` : `a number from ${least} to ${most}`);
  };

/** One of some words, in any case; gives the word as it is written here. */
export const oneOf =
  <const T extends string>(...words: readonly T[]): Parser<T> =>
  (value) => {
    const known = words.find((word) => word.toLowerCase() === value.toLowerCase());
    return known === undefined ? mustBe(`one of ${words.join(', ')}`) : good(known);
  };

export const severity: Parser<Severity> = oneOf(...severities);

/** The parts of a list; blanks, line ends and commas part them. */
export const words = (value: string): readonly string[] => value.split(/[\s,]+/).filter((word) => word !== '');

/** A list whose parts are read one by one: the first that cannot be read refuses the whole. */
export const listOf =
  <T>(parse: Parser<T>): Parser<readonly T[]> =>
  (value, dialect) => {
    const parsed: T[] = [];
    for (const word of words(value)) {
      const one = parse(word, dialect);
      if (!one.ok) return bad(`of "${word.length > shownMost ? `${word.slice(0, shownMost)}…` : word}" ${one.reason}`);
      parsed.push(one.value);
    }
    return good(parsed);
  };
const shownMost = 80;

/** An absolute path. Quotes, commas and control characters mean something to Dnsmasq, or to who reads a command line. */
export const path: Parser<string> = matching(
  (value) => isAbsolute(value) && /^[^\p{Cc}",]+$/u.test(value),
  'an absolute path without quotes, commas or control characters',
);
