// Looks up the system's groups (/etc/group).
import { readFileSync } from 'node:fs';

/** The id of a group; undefined when there is no such group. */
export function groupId(name: string, file = '/etc/group'): number | undefined {
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [group, , number] = line.split(':');
    if (group === name && number !== undefined && /^[0-9]+$/.test(number)) return Number(number);
  }
  return undefined;
}
