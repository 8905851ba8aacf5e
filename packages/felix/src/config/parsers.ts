// How the text of a parameter is read. A parser says what it expected, so that the operator can put it right.
import { type IpAddress, parseAddress } from '@calico-openstack/addresses';

export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly expected: string };
export type Parser<T> = (text: string) => Parsed<T>;

const good = <T>(value: T): Parsed<T> => ({ ok: true, value });
const bad = (expected: string): Parsed<never> => ({ ok: false, expected });

export const text: Parser<string> = good;

const [yes, no] = [new Set(['true', '1', 'yes', 'y', 't']), new Set(['false', '0', 'no', 'n', 'f'])];
export const bool: Parser<boolean> = (value) => {
  const word = value.toLowerCase();
  return yes.has(word) || no.has(word) ? good(yes.has(word)) : bad('true or false');
};

/** Decimal, 0x… or 0… (octal), both ends included. */
export const integer =
  (least: number, most: number): Parser<number> =>
  (value) => {
    const number = /^0[0-7]+$/.test(value) ? Number.parseInt(value, 8) : /^[+-]?[0-9]+$|^0x[0-9a-f]+$/i.test(value) ? Number(value) : Number.NaN;
    return Number.isInteger(number) && number >= least && number <= most ? good(number) : bad(`a whole number from ${least} to ${most}`);
  };

export const seconds: Parser<number> = (value) => {
  const number = /^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?$/i.test(value) ? Number(value) : Number.NaN;
  return Number.isFinite(number) ? good(number) : bad('a number of seconds');
};

/** One of some words, in any case; gives the word as it is written here. */
export const oneOf =
  <const T extends string>(...words: readonly T[]): Parser<T> =>
  (value) => {
    const known = words.find((word) => word.toLowerCase() === value.toLowerCase());
    return known === undefined ? bad(`one of ${words.join(', ')}`) : good(known);
  };

export const address: Parser<IpAddress> = (value) => {
  const parsed = parseAddress(value);
  return parsed ? good(parsed) : bad('an IP address (a host name has no effect on packets)');
};

export const matching =
  (pattern: RegExp, expected: string): Parser<string> =>
  (value) =>
    pattern.test(value) ? good(value) : bad(expected);

/**
 * Beginnings of interface names, separated by commas. `tap` is always one of them, whatever any source says: the workloads of OpenStack are on taps, and no setting may
 * leave them unpoliced.
 */
export const interfacePrefixes: Parser<readonly string[]> = (value) => {
  const prefixes = value
    .split(',')
    .map((prefix) => prefix.trim())
    .filter((prefix) => prefix !== '');
  return prefixes.length > 0 && prefixes.every((prefix) => /^[A-Za-z0-9_-]{1,15}$/.test(prefix))
    ? good([...new Set([...prefixes, 'tap'])])
    : bad('interface name beginnings of at most 15 letters, digits, _ and -, separated by commas');
};

/** `http(s)://host:port`, separated by commas; all of one scheme; no path, user or query. */
export const endpoints: Parser<readonly string[]> = (value) => {
  const urls = value
    .split(',')
    .map((url) => url.trim())
    .filter((url) => url !== '');
  const schemes = new Set(urls.map((url) => /^(https?):\/\/(\[[0-9a-fA-F:]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?\/?$/.exec(url)?.[1]));
  return urls.length > 0 && schemes.size === 1 && !schemes.has(undefined)
    ? good(urls.map((url) => url.replace(/\/$/, '')))
    : bad(
        'http://host:port or https://host:port, several separated by commas, all of one scheme; a user and password have parameters of their own (EtcdUsername, EtcdPassword)',
      );
};

export type Rate = { readonly rate: number; readonly unit: 'second' | 'minute' | 'hour' | 'day' };

/** `N/second`, `/minute`, `/hour` or `/day`. */
export const rate: Parser<Rate> = (value) => {
  const [, number, unit] = /^([1-9][0-9]{0,3})\/(second|minute|hour|day)$/i.exec(value) ?? [];
  return number && unit
    ? good({ rate: Number(number), unit: unit.toLowerCase() as Rate['unit'] })
    : bad('a number from 1 to 9999 and /second, /minute, /hour or /day');
};

/** A mark mask with room for our bits. */
export const markMask: Parser<number> = (value) => {
  const number = integer(0, 0xffffffff)(value);
  if (!number.ok) return number;
  return bitsOf(number.value).length >= 4 ? number : bad('a mask of 32 bits with at least 4 set: two for packets, two for connections');
};

/** The single bits of a mask, lowest first. */
export function bitsOf(mask: number): number[] {
  const bits: number[] = [];
  for (let bit = 0; bit < 32; bit += 1) if ((mask >>> bit) & 1) bits.push((1 << bit) >>> 0);
  return bits;
}
