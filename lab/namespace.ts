// Network namespaces, links and sysctls, by iproute2.
import { readdirSync, statSync } from 'node:fs';
import { isNamespaceOf, type Machine } from './plan.ts';
import type { Processes } from './process.ts';

const namespaceFolder = '/run/netns';

export async function addNamespace(processes: Processes, machine: Machine): Promise<void> {
  await processes.run('ip', ['netns', 'add', machine.namespace]);
}

/** The namespaces of the lab with this prefix that there are now. */
export function namespacesOf(prefix: string): string[] {
  try {
    return readdirSync(namespaceFolder)
      .filter((name) => isNamespaceOf(prefix, name))
      .sort();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []; // no namespace was ever made on this machine
    throw error;
  }
}

/** As /proc names the namespace of a process in it. */
export const namespaceIdentity = (namespace: string): string => `net:[${statSync(`${namespaceFolder}/${namespace}`).ino}]`;

/** Runs `ip` commands inside the machine's namespace, one a line, as one process. */
export async function ip(processes: Processes, machine: Machine, commands: readonly string[]): Promise<void> {
  await processes.run('ip', ['-n', machine.namespace, '-batch', '-'], { input: `${commands.join('\n')}\n` });
}

export async function sysctl(processes: Processes, machine: Machine, settings: Readonly<Record<string, string | number>>): Promise<void> {
  await processes.run('sysctl', ['-q', '-w', ...Object.entries(settings).map(([name, value]) => `${name}=${value}`)], { on: machine });
}

/** What `ip -json …` prints, as it is: the caller says what it expects. */
export async function ipJson(processes: Processes, machine: Machine, ...args: readonly string[]): Promise<unknown> {
  const text = await processes.run('ip', ['-n', machine.namespace, '-json', ...args]);
  return text.trim() === '' ? [] : JSON.parse(text);
}
