// Keeps MariaDB's data with the tables of Neutron and Keystone for the next lab. Creating them takes a quarter of the time in which a lab comes up, and gives the same each time.
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { processFacts } from '@calico-openstack/kernel/processes/processes';
import type { Nova } from '../nova/nova.ts';
import type { Processes } from '../process.ts';
import type { Keystone } from './keystone.ts';
import type { MariaDb } from './mariadb.ts';
import type { Neutron } from './neutron.ts';

/** The folder in which labs keep data for later labs. */
export const cache = join(import.meta.dirname, '../.cache');

/** The packages on whose versions the tables depend. */
const packages = ['mariadb-server', 'python3-keystone', 'python3-neutron'];

/** MariaDB's data, kept from lab to lab. */
export interface Tables {
  /** Copies the data that an earlier lab made with the same versions and settings to where MariaDB, which must not run, looks for them. Returns false when there are none. */
  restore(): Promise<boolean>;
  /** Stops MariaDB, copies its data for later labs, and starts it again. */
  keep(): Promise<void>;
}

/** The kept data for these services. */
export function tables(processes: Processes, mariadb: MariaDb, keystone: Keystone, neutron: Neutron, nova: Nova | undefined): Tables {
  // Labs prune the tables of their own kind alone: a lab of another one may be copying its own.
  const kind = `${nova === undefined ? '' : 'nova-'}${neutron.environment === undefined ? '' : `${basename(neutron.environment)}-`}tables-`;

  async function kept(): Promise<string> {
    const versions = await processes.run('dpkg-query', ['-W', ...packages, ...(nova?.packages ?? [])]);
    const key = createHash('sha256').update(
      JSON.stringify([versions, keystone.contents, neutron.contents, mariadb.contents, ...(nova === undefined ? [] : [nova.contents])]),
    );
    return join(cache, `${kind}${key.digest('hex').slice(0, 16)}`);
  }
  const copy = (from: string, to: string): Promise<string> => processes.run('cp', ['-a', '--reflink=auto', from, to]);

  return {
    async restore() {
      const folder = await kept();
      if (!existsSync(folder)) return false;
      mkdirSync(mariadb.directory, { recursive: true });
      await copy(folder, mariadb.data);
      return true;
    },
    async keep() {
      const folder = await kept();
      const unfinished = `${folder}.${process.pid}.${randomUUID()}`; // two labs of one process may copy at the same time
      mkdirSync(cache, { recursive: true });
      await mariadb.stop();
      try {
        await copy(mariadb.data, unfinished);
        if (!existsSync(folder)) renameSync(unfinished, folder); // another lab may have been faster
      } finally {
        rmSync(unfinished, { recursive: true, force: true });
      }
      prune(folder, kind);
      await mariadb.start();
    },
  };
}

/** Removes the data of other versions, and what a killed process left unfinished. */
function prune(current: string, kind: string): void {
  for (const name of readdirSync(cache).filter((found) => found.startsWith(kind))) {
    const [, maker] = name.split('.');
    const inTheMaking = maker !== undefined && processFacts(Number(maker)) !== undefined;
    if (join(cache, name) !== current && !inTheMaking) rmSync(join(cache, name), { recursive: true, force: true });
  }
}
