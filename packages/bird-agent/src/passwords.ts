// Passwords of BGP sessions: in a file that only root can read, never in the datastore, a log or a world-readable file.
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { type Ini, IniError, parseIni } from '@calico-openstack/agent';
import { type Decoded, decoded, refused } from '@calico-openstack/datamodel';
import { quotedPassword } from './bird/text.ts';
import type { SecretRef } from './resources/values.ts';

/**
 * The passwords in an ini file: section is a secret's name, option its key. Reads it when first asked, once. A password comes as BIRD's string; refused where
 * there is none, where BIRD could not hold it, and where others than the file's owner (root, or who runs this) can read it or have written it.
 */
export function openPasswords(path: string): (reference: SecretRef) => Decoded<string> {
  let content: Decoded<Ini> | undefined;
  return ({ name, key }) => {
    content ??= readPasswordFile(path);
    if (!content.ok) return content;
    const password = content.value.get(name)?.get(key)?.at(-1);
    if (password === undefined) return refused(`${path} has no "${key}" in section [${name}]`);
    const asText = quotedPassword(password);
    return asText.ok ? asText : refused(`"${key}" in section [${name}] of ${path} ${asText.reason}`);
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
    return decoded(parseIni(readFileSync(descriptor, 'utf8'), path));
  } catch (error) {
    // parseIni quotes the line that it does not understand, which may be a password.
    if (error instanceof IniError) return refused(`${path} is no ini file ("[secret]", then "key = password")`);
    return refused(`cannot read ${path}: ${(error as NodeJS.ErrnoException).code}`);
  } finally {
    closeSync(descriptor);
  }
}
