// The users' passwords: a file each, that only its owner may read. They are on no command line and in no output.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileReason, StartError } from '@calico-openstack/agent/errors';

export interface Passwords {
  fileOf(user: string): string;
  /** Whether etcd is to be told it: none was made yet, or the run that made it did not come to its end. */
  isNew(user: string): boolean;
  /** What etcd is to be told. One that is made now stands beside its place until `told`. */
  of(user: string): string;
  /** etcd has it. */
  told(user: string): void;
}

/** The passwords in this directory, which is made when the first is. Each call may throw StartError PASSWORDS_UNUSABLE. */
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

/** The first word of a file that nobody else may read. */
export function passwordIn(file: string): string {
  if ((statSync(file).mode & 0o077) !== 0)
    throw new StartError('PASSWORDS_UNUSABLE', `others may read the password ${file}; take that right away (chmod 600), and the password for known`);
  const password = readFileSync(file, 'utf8').trim();
  if (!/^\S+$/.test(password)) throw new StartError('PASSWORDS_UNUSABLE', `${file} must hold one word, the password`);
  return password;
}
