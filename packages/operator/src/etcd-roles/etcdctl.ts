// Prints changes of etcd's users and roles as a shell script of etcdctl commands (API 3), for operators who prefer to read and run them themselves.
import { join } from 'node:path';
import type { KeyRange } from '@calico-openstack/etcd/users';
import type { Change } from './plan.ts';

/**
 * The lines of the script, in the order of the changes.
 * @param passwordDirectory the directory with each user's password file, whose missing files the script creates; undefined when users have no passwords
 */
export function etcdctlCommands(changes: readonly Change[], passwordDirectory: string | undefined): readonly string[] {
  /** Generates a missing password, and passes it to the command on standard input. */
  const withPassword = (user: string, command: string): string[] => {
    const file = quoted(join(passwordDirectory ?? '', user));
    return [`test -s ${file} || (umask 077; openssl rand -hex 24 > ${file})`, `${command} --interactive=false < ${file}`];
  };
  const commands = changes.flatMap((change): string[] => {
    switch (change.kind) {
      case 'add role':
        return [`etcdctl role add ${quoted(change.role)}`];
      case 'grant':
        return [`etcdctl role grant-permission ${quoted(change.role)} ${change.permission.access} ${quotedRange(change.permission)}`];
      case 'revoke':
        return [`etcdctl role revoke-permission ${quoted(change.role)} ${quotedRange(change.range)}`];
      case 'add user': {
        const command = `etcdctl user add ${quoted(change.user)}`;
        return passwordDirectory === undefined ? [`${command} --no-password`] : withPassword(change.user, command);
      }
      case 'set password':
        return withPassword(change.user, `etcdctl user passwd ${quoted(change.user)}`);
      case 'grant role':
        return [`etcdctl user grant-role ${quoted(change.user)} ${quoted(change.role)}`];
      default:
        return change satisfies never;
    }
  });
  const needsDirectory = passwordDirectory !== undefined && changes.some(({ kind }) => kind === 'add user' || kind === 'set password');
  return needsDirectory ? [`(umask 077; mkdir -p ${quoted(passwordDirectory)})`, ...commands] : commands;
}

const quotedRange = ({ from, to }: KeyRange): string => (to === '' ? quoted(from) : `${quoted(from)} ${quoted(to)}`);

/** Quotes any text as one word of a POSIX shell. */
const quoted = (text: string): string => (/^[-_./:=@A-Za-z0-9]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
