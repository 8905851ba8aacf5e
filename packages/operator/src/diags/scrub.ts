// Removes secrets from text in two ways, because either alone misses some: it replaces the values of secrets in this host's configuration wherever they occur, and text that has the form of a
// secret.

/** The text that replaces a secret. */
export const leftOut = '<left out>';

/** The length of the shortest value that is searched for in other text. Shorter ones are part of too many words. */
const shortestValue = 4;

const privateKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g;

/** Values that are common words of configuration files. Replacing them everywhere would hide text that is not secret. */
const noSecret = /^(password|secret|token|credentials?|none|true|false|<left out>)$/i;

/** Names of options whose values are secrets or contain one: oslo's, Calico's, and those of most other programs. */
const secretName = /passw|secret|token|credential|connection$|transport_url|(^|_)key$|^auth_key/i;

/** The secrets of a file: values of options with such a name, passwords in URLs, the lines of private keys. A path is not a secret. */
export function secretsIn(configuration: string): readonly string[] {
  // The lines of a private key: a program may have written one of them somewhere.
  const found: string[] = [...configuration.matchAll(privateKey)].flatMap(([key]) => key.split('\n').filter((line) => /^[\w+/=]{16,}$/.test(line)));
  for (const line of configuration.split('\n')) {
    const [, name = '', raw = ''] = /^\s*([\w.-]+)\s*[=:]\s*(.*?)\s*$/.exec(line) ?? [];
    const value = /^([`"'])(.*)\1$/.exec(raw)?.[2] ?? raw;
    if (secretName.test(name) && value !== '' && !value.startsWith('/') && !value.includes('://')) found.push(value, value.replace(/\s+[#;].*$/, ''));
    for (const [, password = ''] of line.matchAll(inUrl)) found.push(password, decoded(password));
    if (!/^\s*#/.test(line)) for (const [, , , following = ''] of line.matchAll(named)) if (/^["'`]/.test(following)) found.push(following.slice(1, -1));
  }
  return [...new Set(found)].filter((secret) => secret.length >= shortestValue && !noSecret.test(secret));
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** `scheme://user:password@`. The password goes on to the last `@` of the word, as a careless one may have an `@` itself. */
const inUrl = /:\/\/[^\s:@/]*:([^\s"'<>]+)@/g;
/** A name behind which a secret follows: `password = x`, `"secret": "x"`, `password "x"` (BIRD). */
const named = /([\w-]*(?:passw|secret|token|credential)[\w-]*)(["']?\s*[:=]\s*|\s+(?=["'`]))("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`|[^\s,;}]+)/gi;
const authorization = /((?:^|[^\w-])(?:proxy-)?authorization["']?\s*[:=]\s*)[^\n]+/gi;

/** The text without secrets, and the number of those that were removed. @param secrets values to search for, from `secretsIn` */
export function scrub(text: string, secrets: readonly string[]): { readonly text: string; readonly count: number } {
  let count = 0;
  const replace = (from: string, pattern: RegExp, by: (...found: string[]) => string): string =>
    from.replace(pattern, (...found) => {
      const instead = by(...(found as string[]));
      if (instead !== found[0]) count += 1;
      return instead;
    });
  let clean = replace(text, privateKey, () => leftOut);
  // The longest first: a secret may begin with another one.
  for (const secret of [...secrets].sort((one, other) => other.length - one.length)) {
    const pieces = clean.split(secret);
    count += pieces.length - 1;
    clean = pieces.join(leftOut);
  }
  clean = replace(clean, inUrl, (whole, password = '') => (password === leftOut ? whole : whole.replace(`${password}@`, `${leftOut}@`)));
  clean = replace(clean, authorization, (whole, name) => (whole === `${name}${leftOut}` ? whole : `${name}${leftOut}`));
  clean = replace(clean, named, (whole, name, between, value = '') => (value.includes(leftOut) || value === '' ? whole : `${name}${between}${leftOut}`));
  return { text: clean, count };
}
