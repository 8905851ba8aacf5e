// Reads BIRD's BGP sessions and their numbers of routes from `show protocols all`.
import type { BirdControl } from './control.ts';

/** The state of a session. */
export type SessionStatus = {
  readonly name: string;
  readonly neighbor: string;
  readonly asNumber: number;
  /** The state of the session in BGP's state machine: Established, Connect, Active … */
  readonly state: string;
  /** When the state last changed, as BIRD writes it. */
  readonly since: string;
  /** BIRD's last error; empty when there was none. */
  readonly lastError: string;
  readonly routes: { readonly imported: number; readonly filtered: number; readonly exported: number };
};

/** The states of the sessions whose names match. Rejects with BirdError. @param pattern may contain `*` for any text */
export async function sessionStatuses(control: BirdControl, pattern = '*'): Promise<readonly SessionStatus[]> {
  const { lines } = await control.ask(`show protocols all "${pattern}"`);
  return parseSessions(lines.map(({ text }) => text));
}

/** The states of the sessions of BGPPeers, with hosts, routers and workloads, which are known by the beginnings of their symbols. Rejects with BirdError. */
export const sessionsOfPeers = async (control: BirdControl): Promise<readonly SessionStatus[]> => [
  ...(await sessionStatuses(control, 'peer*')),
  ...(await sessionStatuses(control, 'workload*')),
];

/** Parses the output of `show protocols all`. */
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
