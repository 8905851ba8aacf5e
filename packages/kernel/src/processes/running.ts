// Checks whether an executable of this project runs in this network namespace.
import { basename } from 'node:path';
import { StartError } from '@calico-openstack/agent/errors';
import { allProcesses, commandOf, networkNamespaceOf } from './processes.ts';

/**
 * Refuses to go on while the executable `name` runs, because it would restore what is being removed.
 * @throws StartError (STILL_RUNNING) that names the process
 */
export function refuseWhileRunning(name: string): void {
  const here = networkNamespaceOf('self');
  const running = allProcesses().find(({ pid, zombie }) => !zombie && pid !== process.pid && isOurs(commandOf(pid), name) && networkNamespaceOf(pid) === here);
  if (running === undefined) return;
  throw new StartError(
    'STILL_RUNNING',
    `${name} runs on this host (process ${running.pid}) and would put back what is taken away: stop it first, for example with systemctl stop ${name}`,
  );
}

/** Node runs the project's executables. Upstream's of the same name are programs of their own. */
function isOurs([program = '', ...words]: readonly string[], name: string): boolean {
  const script = words.find((word) => !word.startsWith('-')) ?? '';
  return /^node/.test(basename(program)) && [name, `${name}.js`, `${name}.ts`].includes(basename(script)) && !words.includes('--remove');
}
