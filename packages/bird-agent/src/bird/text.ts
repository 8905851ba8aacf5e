// Makes names and texts safe for BIRD's configuration. Every name and text that a person chose passes through here.
import { type Decoded, decoded, refused, shortDigest } from '@calico-openstack/datamodel';

/** A part of the configuration's text, with its digest. Both are computed once, and kept while the part is the same. */
export type TextPart = { readonly bytes: Uint8Array; readonly digest: string };

/** The part that consists of these lines. */
export const partOf = (lines: readonly string[]): TextPart => partOfText(lines.map((line) => `${line}\n`).join(''));

/** The part with this text. */
export const partOfText = (text: string): TextPart => ({ bytes: Buffer.from(text), digest: shortDigest(text, 24) });

/** The greatest length of a symbol. */
const symbolMax = 64;
const digestLength = 10;

/**
 * A symbol in apostrophes: `'mesh4-compute-1'`, or with two names `'peer4-rr:compute-1'`. BIRD allows letters, digits and `_ : . -` in it, and recognises
 * keywords even in apostrophes; the dash in every symbol prevents that. A name that fits is used unchanged. Of another name, the part that fits and a digest are used, separated by `_`,
 * which no unchanged name contains. So different names have different symbols.
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

/** A string of BIRD's language, which has no escapes. Text with a quotation mark or a control character is refused. */
export function quoted(text: string): Decoded<string> {
  if (/\p{Cc}/u.test(text)) return refused('holds a control character, which BIRD cannot hold in a string');
  if (text.includes('"')) return refused('holds a quotation mark, which BIRD cannot hold in a string');
  return decoded(`"${text}"`);
}

/** The longest key of a TCP MD5 signature (RFC 2385) that Linux accepts, in bytes. */
const passwordMaxBytes = 80;

/** A session's password as a string of BIRD's language. */
export function quotedPassword(password: string): Decoded<string> {
  const bytes = Buffer.byteLength(password);
  if (bytes === 0) return refused('is empty');
  if (bytes > passwordMaxBytes) return refused(`has ${bytes} bytes, but a TCP MD5 key has at most ${passwordMaxBytes}`);
  if (!password.isWellFormed()) return refused('is not well-formed Unicode');
  return quoted(password);
}
