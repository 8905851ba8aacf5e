// Runs calico-openstack from its sources, as an operator would.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const program = join(import.meta.dirname, '../bin/calico-openstack.ts');

/** What it printed, line by line. Rejects (`code`, `stderr`) when it fails. */
export async function calicoOpenstack(...args: readonly string[]): Promise<readonly string[]> {
  const { ETCDCTL_ENDPOINTS: _, ...env } = process.env;
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...args], { env });
  return stdout.split('\n').filter((line) => line !== '');
}

/** A file for `--password-file` with a password that nobody else may read. */
export function passwordFile(directory: string, password: string): string {
  const file = join(directory, 'administrator');
  writeFileSync(file, `${password}\n`, { mode: 0o600 });
  return file;
}
