// Reads the texts of options. The reason for a refusal says what is expected, so that whoever wrote the text can correct it.
import { isAbsolute } from 'node:path';
import { type Severity, severities } from '../log.ts';
import type { Dialect, Parsed, Parser } from './option.ts';

/** The result for a text with a value. @param remark which part of the text is ignored, and what that means */
export const good = <T>(value: T, remark?: string): Parsed<T> => ({ ok: true, value, ...(remark !== undefined && { remark }) });
/** The result for a text without a value. @param reason the part of a sentence that follows the option's name and text */
export const bad = (reason: string): Parsed<never> => ({ ok: false, reason });
const mustBe = (expected: string): Parsed<never> => bad(`it must be ${expected}`);

/** Any text. */
export const text: Parser<string> = (value) => good(value);

/** A text for which `holds` is true. @param expected what the text must be, as the reason says it behind "it must be" */
export const matching =
  (holds: RegExp | ((value: string) => boolean), expected: string): Parser<string> =>
  (value) =>
    (holds instanceof RegExp ? holds.test(value) : holds(value)) ? good(value) : mustBe(expected);

const [yes, no] = [new Set(['true', '1', 'yes', 'on', 'y', 't']), new Set(['false', '0', 'no', 'off', 'n', 'f'])];

/** A boolean in any of the words that Calico or OpenStack accepts, in any case. */
export const truth: Parser<boolean> = (value) => {
  const word = value.toLowerCase();
  return yes.has(word) || no.has(word) ? good(yes.has(word)) : mustBe('true or false');
};

/** The whole number of a text, or NaN. Calico reads `0x1f` and `010` (octal) as Go does. In neutron.conf, which Python reads, `010` is ten. */
function wholeNumber(value: string, dialect: Dialect): number {
  if (/^[+-]?[0-9]+$/.test(value)) return dialect !== 'conf' && /^0[0-7]+$/.test(value) ? Number.parseInt(value, 8) : Number(value);
  return dialect !== 'conf' && /^0x[0-9a-f]+$/i.test(value) ? Number(value) : Number.NaN;
}

/** A whole number from `least` to `most`, both included. */
export const whole =
  (least: number, most = Number.MAX_SAFE_INTEGER): Parser<number> =>
  (value, dialect) => {
    const number = wholeNumber(value, dialect);
    if (Number.isSafeInteger(number) && number >= least && number <= most) return good(number);
    return mustBe(most === Number.MAX_SAFE_INTEGER ? `a whole number of at least ${least}` : `a whole number from ${least} to ${most}`);
  };

/** A number from `least` to `most`, both included. It may have a fraction. */
export const decimal =
  (least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY): Parser<number> =>
  (value) => {
    const number = /^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?$/i.test(value) ? Number(value) : Number.NaN;
    if (Number.isFinite(number) && number >= least && number <= most) return good(number);
    if (least === Number.NEGATIVE_INFINITY) return mustBe('a number');
    return mustBe(most === Number.POSITIVE_INFINITY ? `a number of at least ${least}` : `a number from ${least} to ${most}`);
  };

/** One of `words`, in any case. The value is the word as written here. */
export const oneOf =
  <const T extends string>(...words: readonly T[]): Parser<T> =>
  (value) => {
    const known = words.find((word) => word.toLowerCase() === value.toLowerCase());
    return known === undefined ? mustBe(`one of ${words.join(', ')}`) : good(known);
  };

/** One of Calico's severities. */
export const severity: Parser<Severity> = oneOf(...severities);

/** The elements of a list that are separated by blanks, line ends or commas. */
export const words = (value: string): readonly string[] => value.split(/[\s,]+/).filter((word) => word !== '');

/** A list whose elements are read by `parse`. The first that cannot be read is the reason to refuse the whole list. */
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

/** An absolute path. Quotes, commas and control characters are refused, because they have a meaning for Dnsmasq and in command lines. */
export const path: Parser<string> = matching(
  (value) => isAbsolute(value) && /^[^\p{Cc}",]+$/u.test(value),
  'an absolute path without quotes, commas or control characters',
);
