// What an agent takes for its host's name, and how it says that the cloud may call the host otherwise.
import { hostname } from 'node:os';
import type { Logger } from '../log.ts';

/** The system's host name, as every agent has it where nobody sets another: in lower case, as Calico's own agents. */
export const systemHostName = (): string => hostname().trim().toLowerCase();

/** Nothing tells that a host's first endpoint has come under another name; as long as the host has none of its own, it is looked for this often. */
const lookAgainMs = 600_000;

export type NamesakeWatch = {
  readonly host: string;
  /** What to set where the host is to be called otherwise: `FelixHostname in felix.cfg`. */
  readonly option: string;
  /** Whether the datastore has endpoints for this host, and which other hosts with endpoints may be the same one. */
  readonly look: () => Promise<{ readonly own: boolean; readonly others: readonly string[] }>;
  readonly log: Logger;
};

/** Warns of hosts in the datastore that may be this one under another name, once each. Looks now, and again while the host has no endpoints of its own. */
export function startNamesakeWarnings({ host, option, look, log }: NamesakeWatch, againMs = lookAgainMs): { close(): void } {
  const told = new Set<string>();
  let again: NodeJS.Timeout | undefined;
  let closed = false;

  async function run(): Promise<void> {
    const found = await look().catch((error: unknown) => {
      // Least rights may not let an agent read what is not its own; etcd may be away.
      log.debug({ err: error }, 'cannot look for endpoints of this host under another name');
      return { own: false, others: [] };
    });
    if (closed) return;
    for (const other of found.others) {
      if (told.has(other)) continue;
      told.add(other);
      log.warn(
        { host, other },
        `the datastore has endpoints for a host that is called as this one but for case or domain: they are not served here; if they are this host's, set ${option} to that name`,
      );
    }
    if (found.own) return;
    again = setTimeout(() => void run(), againMs);
    again.unref();
  }
  void run();
  return {
    close() {
      closed = true;
      clearTimeout(again);
    },
  };
}
