// Network namespaces, links and sysctls, with iproute2.
import { readdirSync, statSync } from 'node:fs';
import { isNamespaceOf, type Machine } from './plan.ts';
import type { Processes } from './process.ts';

const namespaceFolder = '/run/netns';

/** Creates the machine's network namespace. */
export async function addNamespace(processes: Processes, machine: Machine): Promise<void> {
  await processes.run('ip', ['netns', 'add', machine.namespace]);
}

/** The existing namespaces of the lab with this prefix. */
export function namespacesOf(prefix: string): string[] {
  try {
    return readdirSync(namespaceFolder)
      .filter((name) => isNamespaceOf(prefix, name))
      .sort();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []; // no namespace was ever created on this machine
    throw error;
  }
}

/** The namespace's name in /proc, like `net:[4026532281]`. */
export const namespaceIdentity = (namespace: string): string => `net:[${statSync(`${namespaceFolder}/${namespace}`).ino}]`;

/** Runs `ip` commands in the machine's namespace, all in one process. */
export async function ip(processes: Processes, machine: Machine, commands: readonly string[]): Promise<void> {
  await processes.run('ip', ['-n', machine.namespace, '-batch', '-'], { input: `${commands.join('\n')}\n` });
}

/** Sets sysctls in the machine's namespace. */
export async function sysctl(processes: Processes, machine: Machine, settings: Readonly<Record<string, string | number>>): Promise<void> {
  await processes.run('sysctl', ['-q', '-w', ...Object.entries(settings).map(([name, value]) => `${name}=${value}`)], { on: machine });
}

/** The output of `ip -json …`, parsed but not checked. */
export async function ipJson(processes: Processes, machine: Machine, ...args: readonly string[]): Promise<unknown> {
  const text = await processes.run('ip', ['-n', machine.namespace, '-json', ...args]);
  return text.trim() === '' ? [] : JSON.parse(text);
}
