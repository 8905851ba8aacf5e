// BIRD's BGP sessions with their routes, as `show protocols all` tells of them.
import type { BirdControl } from './control.ts';

export type SessionStatus = {
  readonly name: string;
  readonly neighbor: string;
  readonly asNumber: number;
  /** BGP's state: Established, Connect, Active … */
  readonly state: string;
  /** When BIRD last changed it, in BIRD's words. */
  readonly since: string;
  /** What BIRD last had to say of trouble; empty: nothing. */
  readonly lastError: string;
  readonly routes: { readonly imported: number; readonly filtered: number; readonly exported: number };
};

/** @param pattern of the sessions' names, `*` standing for anything */
export async function sessionStatuses(control: BirdControl, pattern = '*'): Promise<readonly SessionStatus[]> {
  const { lines } = await control.ask(`show protocols all "${pattern}"`);
  return parseSessions(lines.map(({ text }) => text));
}

export function parseSessions(lines: readonly string[]): readonly SessionStatus[] {
  const sessions: SessionStatus[] = [];
  let block: { readonly name: string; readonly since: string; readonly details: Map<string, string> } | undefined;
  const finish = (): void => {
    if (!block) return;
    const { name, since, details } = block;
    const count = (what: string): number => Number(new RegExp(`(\\d+) ${what}`).exec(details.get('Routes') ?? '')?.[1] ?? 0);
    sessions.push({
      name,
      since,
      neighbor: details.get('Neighbor address') ?? '',
      asNumber: Number(details.get('Neighbor AS') ?? 0),
      state: details.get('BGP state') ?? '',
      lastError: details.get('Last error') ?? '',
      routes: { imported: count('imported'), filtered: count('filtered'), exported: count('exported') },
    });
    block = undefined;
  };
  for (const line of lines) {
    const [, name, type, since] = /^(\S+)\s+(\S+)\s+\S+\s+\S+\s+(\S+(?: \d\S*)?)/.exec(line) ?? [];
    if (name && type && since) {
      finish();
      if (type === 'BGP') block = { name, since, details: new Map() };
      continue;
    }
    const [, key, value] = /^\s+([A-Z][A-Za-z ]*):\s+(.*)$/.exec(line) ?? [];
    if (key && value !== undefined) block?.details.set(key, value.trim());
  }
  finish();
  return sessions;
}
