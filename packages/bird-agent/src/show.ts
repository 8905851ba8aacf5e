// Implements `calico-bird-agent --show`: BIRD's present state for people, and with --json for programs. It only reads.
import { type Refusal, refusals } from './audit.ts';
import { type BirdControl, connectBird } from './bird/control.ts';
import { type SessionStatus, sessionStatuses } from './bird/sessions.ts';

/** BIRD's present state. */
export type Shown = { readonly sessions: readonly SessionStatus[]; readonly refused: readonly Refusal[] };

const timeoutMs = 20_000;

/** Asks the BIRD at this control socket. Rejects with BirdError. */
export async function inspectBird(socketPath: string): Promise<Shown> {
  const control = await connectBird(socketPath, timeoutMs);
  try {
    return await inspect(control);
  } finally {
    control.close();
  }
}

const inspect = async (control: BirdControl): Promise<Shown> => ({ sessions: await sessionStatuses(control), refused: await refusals(control) });

/** Prints the state as a table: sessions that are not established first, then the refused routes and why. */
export function readable({ sessions, refused }: Shown): string {
  const isUp = ({ state }: SessionStatus): boolean => state === 'Established';
  const inOrder = sessions.toSorted((a, b) => Number(isUp(a)) - Number(isUp(b)) || (a.name < b.name ? -1 : 1));
  const rows = inOrder.map(({ name, neighbor, asNumber, state, since, lastError, routes }) => [
    name,
    `${neighbor} AS ${asNumber}`,
    state,
    `since ${since}`,
    `${routes.imported} learnt, ${routes.exported} announced, ${routes.filtered} not accepted`,
    state === 'Established' ? '' : lastError,
  ]);
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]!.length))) ?? [];
  const table = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
  const notAccepted = refused.map(
    ({ session, count, prefixes }) =>
      `${session}: ${count} of its neighbour's routes are refused${prefixes.length > 0 ? ` (${prefixes.join(', ')}${count > prefixes.length ? ', …' : ''})` : ''}`,
  );
  return [
    `${sessions.length} sessions, ${sessions.filter(isUp).length} established`,
    ...table,
    ...(notAccepted.length > 0
      ? [
          '',
          'Refused, since a neighbour cannot have them (a default route, a network, or the address of a host, of etcd or of a BGPPeer; of a guest whatever neither its port has nor a filter accepts):',
          ...notAccepted,
        ]
      : []),
    '',
  ].join('\n');
}
