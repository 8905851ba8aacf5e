// Neutron's and Keystone's tables take a quarter of the time in which a lab comes up, and are the same each time: so MariaDB's data, once made, are kept for the next lab.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { processFacts } from '../proc.ts';
import type { Processes } from '../process.ts';
import type { Keystone } from './keystone.ts';
import type { MariaDb } from './mariadb.ts';
import type { Neutron } from './neutron.ts';

export const cache = join(import.meta.dirname, '../.cache');

/** Whose versions decide what is in the tables. */
const packages = ['mariadb-server', 'python3-keystone', 'python3-neutron'];

export interface Tables {
  /** The finished data of an earlier lab, made by the same versions in the same way: copied to where MariaDB, which must not run, will look for them. false: there are none. */
  restore(): Promise<boolean>;
  /** Stops MariaDB, keeps a copy of its data, and starts it again. */
  keep(): Promise<void>;
}

export function tables(processes: Processes, mariadb: MariaDb, keystone: Keystone, neutron: Neutron): Tables {
  async function kept(): Promise<string> {
    const versions = await processes.run('dpkg-query', ['-W', ...packages]);
    const key = createHash('sha256').update(JSON.stringify([versions, keystone.contents, neutron.contents, mariadb.contents]));
    return join(cache, `tables-${key.digest('hex').slice(0, 16)}`);
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
      const unfinished = `${folder}.${process.pid}`;
      mkdirSync(cache, { recursive: true });
      await mariadb.stop();
      try {
        await copy(mariadb.data, unfinished);
        if (!existsSync(folder)) renameSync(unfinished, folder); // another lab may have come first
      } finally {
        rmSync(unfinished, { recursive: true, force: true });
      }
      prune(folder);
      await mariadb.start();
    },
  };
}

/** What other versions made, and what somebody who was killed left unfinished. */
function prune(current: string): void {
  for (const name of readdirSync(cache).filter((found) => found.startsWith('tables-'))) {
    const [, maker] = name.split('.');
    const inTheMaking = maker !== undefined && processFacts(Number(maker)) !== undefined;
    if (join(cache, name) !== current && !inTheMaking) rmSync(join(cache, name), { recursive: true, force: true });
  }
}
