// Keeps each user's password in a file of its own, which only its owner may read. A password is never on a command line or in the output.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileReason, StartError } from '@calico-openstack/agent/errors';

/** The passwords of etcd's users. Its functions throw StartError PASSWORDS_UNUSABLE when a file or the directory cannot be used. */
export interface Passwords {
  /** The path of the user's password file, whether it exists or not. */
  fileOf(user: string): string;
  /** Whether the password has to be set in etcd: it was not generated yet, or an earlier run ended before it had set it. */
  isNew(user: string): boolean;
  /** The password to set in etcd. A missing one is generated, and stays in a temporary file until `told` is called. */
  of(user: string): string;
  /** Called when etcd has the password: its file gets its final name. */
  told(user: string): void;
}

/** The passwords in this directory. The first generated password creates the directory. */
export function passwordsIn(directory: string): Passwords {
  const fileOf = (user: string): string => join(directory, user);
  const waiting = (user: string): string => join(directory, `${user}.new`);
  const attempt = <T>(what: string, work: () => T): T => {
    try {
      return work();
    } catch (error) {
      if (error instanceof StartError) throw error;
      throw new StartError('PASSWORDS_UNUSABLE', `cannot ${what}: ${fileReason(error)}`, { cause: error });
    }
  };
  return {
    fileOf,
    isNew: (user) => !existsSync(fileOf(user)),
    of(user) {
      const file = [fileOf(user), waiting(user)].find(existsSync);
      if (file !== undefined) return attempt(`read the password ${file}`, () => passwordIn(file));
      const made = randomBytes(24).toString('base64url');
      attempt(`write the password ${waiting(user)}`, () => {
        mkdirSync(directory, { recursive: true, mode: 0o700 });
        writeFileSync(waiting(user), `${made}\n`, { mode: 0o600, flag: 'wx', flush: true });
      });
      return made;
    },
    told(user) {
      if (existsSync(waiting(user))) attempt(`write the password ${fileOf(user)}`, () => renameSync(waiting(user), fileOf(user)));
    },
  };
}

/**
 * Reads the password in a file: the one word that it holds.
 * @throws StartError PASSWORDS_UNUSABLE when others may read the file, or when it does not hold exactly one word; the system's error when the file cannot be read
 */
export function passwordIn(file: string): string {
  if ((statSync(file).mode & 0o077) !== 0)
    throw new StartError('PASSWORDS_UNUSABLE', `others may read the password ${file}; take that right away (chmod 600), and the password for known`);
  const password = readFileSync(file, 'utf8').trim();
  if (!/^\S+$/.test(password)) throw new StartError('PASSWORDS_UNUSABLE', `${file} must hold one word, the password`);
  return password;
}
