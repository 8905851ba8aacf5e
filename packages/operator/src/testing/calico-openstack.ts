// Runs calico-openstack from its sources, as an operator would.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const program = join(import.meta.dirname, '../bin/calico-openstack.ts');

/** Runs the command, and returns the lines that it printed. Rejects with an error that has `code` and `stderr` when the command fails. */
export async function calicoOpenstack(...args: readonly string[]): Promise<readonly string[]> {
  const { ETCDCTL_ENDPOINTS: _, ...env } = process.env;
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...args], { env });
  return stdout.split('\n').filter((line) => line !== '');
}

/** Writes a password to a file for `--password-file` that only its owner may read, and returns the path. */
export function passwordFile(directory: string, password: string): string {
  const file = join(directory, 'administrator');
  writeFileSync(file, `${password}\n`, { mode: 0o600 });
  return file;
}
