// Reads the passwords of BGP sessions. They are in a file that only root can read, and never in the datastore, a log or a world-readable file.
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { type Ini, IniError, parseIni } from '@calico-openstack/agent';
import { type Decoded, decoded, refused } from '@calico-openstack/datamodel';
import { quotedPassword } from './bird/text.ts';
import type { SecretRef } from './resources/values.ts';

/** The passwords. */
export interface Passwords {
  /** A password as a string of BIRD's language. It is refused when the file has none, or when BIRD's language cannot express it. */
  password(reference: SecretRef): Decoded<string>;
  /** Reads the file again. Returns what is wrong with it if it cannot be read; then the known passwords stay. */
  readAgain(): string | undefined;
}

/**
 * The passwords of an ini file, where the section is a secret's name and the option its key. A file that others than its owner (root, or the user of this process) can read or have written is refused.
 * It is read at the first use, and again when a requested password is missing. While the file is being edited, or was made readable by mistake, sessions keep their known passwords.
 */
export function openPasswords(path: string): Passwords {
  let content: Decoded<Ini> | undefined;
  const find = ({ name, key }: SecretRef): string | undefined => (content?.ok ? content.value.get(name)?.get(key)?.at(-1) : undefined);

  function read(): Decoded<Ini> {
    const now = readPasswordFile(path);
    if (now.ok || !content?.ok) content = now;
    return now;
  }

  return {
    password(reference) {
      const { name, key } = reference;
      const now = find(reference) === undefined ? read() : undefined;
      const password = find(reference);
      if (password === undefined) return now?.ok === false ? now : refused(`${path} has no "${key}" in section [${name}]`);
      const asText = quotedPassword(password);
      return asText.ok ? asText : refused(`"${key}" in section [${name}] of ${path} ${asText.reason}`);
    },
    readAgain() {
      if (content === undefined) return undefined; // no password has been needed yet
      const now = read();
      return now.ok ? undefined : now.reason;
    },
  };
}

function readPasswordFile(path: string): Decoded<Ini> {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch (error) {
    return refused(`cannot read ${path}: ${(error as NodeJS.ErrnoException).code}`);
  }
  try {
    const { uid, mode } = fstatSync(descriptor);
    if (uid !== 0 && uid !== process.getuid?.()) return refused(`${path} does not belong to root`);
    if ((mode & 0o077) !== 0) return refused(`${path} can be read by others than its owner: chmod 600 it`);
    return decoded(parseIni(readFileSync(descriptor, 'utf8'), path, 'conf'));
  } catch (error) {
    if (error instanceof IniError) return refused(`${error.message} ("[secret]", then "key = password")`);
    return refused(`cannot read ${path}: ${(error as NodeJS.ErrnoException).code}`);
  } finally {
    closeSync(descriptor);
  }
}
