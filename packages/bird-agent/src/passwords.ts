// Passwords of BGP sessions: in a file that only root can read, never in the datastore, a log or a world-readable file.
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { type Ini, IniError, parseIni } from '@calico-openstack/agent';
import { type Decoded, decoded, refused } from '@calico-openstack/datamodel';
import { quotedPassword } from './bird/text.ts';
import type { SecretRef } from './resources/values.ts';

export interface Passwords {
  /** A password as BIRD's string; refused where there is none, and where BIRD could not hold it. */
  password(reference: SecretRef): Decoded<string>;
  /** Reads the file again. What is wrong with it, if it cannot be read: what was known holds. */
  readAgain(): string | undefined;
}

/**
 * The passwords in an ini file: section is a secret's name, option its key. Refused where others than the file's owner (root, or who runs this) can read it or have written it.
 * It is read when first asked, and again when it lacks what it is asked for; a file that is being edited, or was laid open by mistake, ends no session that has its password.
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
      if (content === undefined) return undefined; // nobody has asked for a password
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
