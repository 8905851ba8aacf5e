// What may stand in BIRD's configuration, and how. Every name and text that a person chose passes here on its way out.
import { type Decoded, decoded, refused, shortDigest } from '@calico-openstack/datamodel';

/** BIRD's longest symbol. */
const symbolMax = 64;
const digestLength = 10;

/**
 * A symbol of BIRD's in apostrophes: `'mesh4-compute-1'`, or with two names `'peer4-rr:compute-1'`. BIRD allows letters, digits and `_ : . -` there, and reads
 * keywords even in apostrophes, which the dash in every symbol prevents. Names that fit stand as they are; of others, what fits and a digest, marked by `_`, which
 * no name that stands as it is holds. So different names have different symbols.
 */
export function symbol(kind: string, ...names: readonly string[]): string {
  const each = Math.floor((symbolMax - kind.length - names.length) / names.length);
  return `'${kind}-${names.map((name) => part(name, each)).join(':')}'`;
}

function part(name: string, most: number): string {
  if (name.length <= most && /^[A-Za-z0-9.-]+$/.test(name)) return name;
  const kept = name.replaceAll(/[^A-Za-z0-9.-]/g, '-').slice(0, most - digestLength - 1);
  return `${kept}_${shortDigest(name, digestLength)}`;
}

/** A string of BIRD's, which knows no escapes: a quotation mark would end it, and a line's end is an error. Other control characters are refused as well. */
export function quoted(text: string): Decoded<string> {
  if (/\p{Cc}/u.test(text)) return refused('holds a control character, which BIRD cannot hold in a string');
  if (text.includes('"')) return refused('holds a quotation mark, which BIRD cannot hold in a string');
  return decoded(`"${text}"`);
}

/** Longest key of a TCP MD5 signature (RFC 2385) that Linux takes. */
const passwordMaxBytes = 80;

/** A session's password as BIRD's string. */
export function quotedPassword(password: string): Decoded<string> {
  const bytes = Buffer.byteLength(password);
  if (bytes === 0) return refused('is empty');
  if (bytes > passwordMaxBytes) return refused(`has ${bytes} bytes, but a TCP MD5 key has at most ${passwordMaxBytes}`);
  if (!password.isWellFormed()) return refused('is not well-formed Unicode');
  return quoted(password);
}
