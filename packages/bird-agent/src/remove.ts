// Implements `calico-bird-agent --remove`: removes the files that the agent keeps for itself. BIRD, its configuration and the host's Node stay, because without them the guests of this host would be cut off.
import { readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { inForce, type Removed } from '@calico-openstack/agent';
import { refuseWhileRunning } from '@calico-openstack/kernel/processes/running';
import { draftsAmong } from './bird/file.ts';
import { readOptions } from './option-table.ts';
import { understoodPath } from './understood.ts';

/** Removes the agent's files. Returns what was removed and what stays, for people. @throws StartError when the agent runs */
export async function removeBirdAgent(configFiles: readonly string[]): Promise<Removed> {
  const { BirdConfigFile, Hostname } = inForce(readOptions(configFiles));
  refuseWhileRunning('calico-bird-agent');
  const directory = dirname(BirdConfigFile);
  const names = readdirSync(directory);
  const understood = basename(understoodPath(BirdConfigFile));
  const own = [...names.filter((name) => name === understood), ...[basename(BirdConfigFile), understood].flatMap((name) => draftsAmong(names, name))];
  const removed = own.map((name) => join(directory, name));
  for (const path of removed) rmSync(path, { force: true });
  return {
    removed,
    left: [
      `BIRD, which goes on with ${BirdConfigFile}: replace that file with your own, and have BIRD read it with "birdc configure soft"`,
      `the Node ${Hostname} in etcd, by which other hosts know this one: when no guest is here any more, "calicoctl delete node ${Hostname}"`,
      'configuration, password and log files',
    ],
  };
}
