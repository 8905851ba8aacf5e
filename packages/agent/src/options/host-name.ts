// The host's name, and a warning when the cloud may know the host under another name.
import { hostname } from 'node:os';
import type { Logger } from '../log.ts';
import type { Complaint } from './resolve.ts';

/** The system's host name in lower case, as Calico's own agents have it. It is the default of every agent's option. */
export const systemHostName = (): string => hostname().trim().toLowerCase();

/** How often a host without endpoints checks for endpoints under another name. No event reports those. */
const checkAgainMs = 600_000;

/** What `startNamesakeWarnings` works with. */
export type NamesakeWatch = {
  readonly host: string;
  /** The option that sets the host's name, as the warning names it: `FelixHostname in felix.cfg`. */
  readonly option: string;
  readonly look: () => Promise<FoundNames>;
  readonly log: Logger;
};

/** The datastore's knowledge of a host: whether it has anything for the host under its present name, and the other names under which the same host may be known. */
export type FoundNames = { readonly own: boolean; readonly others: readonly string[] };

const aboutNamesake = (option: string): string =>
  `the datastore has endpoints or a Node for another host, whose name differs in case or domain only from this host's; they do not count here; if they are this host's, set ${option} to that name`;

/** The complaints of `--check-config` about other hosts that may be this one. @param option the option that sets the host's name, as the complaint names it */
export const namesakeComplaints = ({ host, option }: Pick<NamesakeWatch, 'host' | 'option'>, { others }: FoundNames): readonly Complaint[] =>
  others.map((other) => ({ option: '', source: `this host is ${host}, etcd knows ${other}`, value: '', problem: aboutNamesake(option) }));

/**
 * Warns of each host in the datastore that may be this one under another name, once. Checks now, and again while this host has no endpoints of its own, until `close()`.
 * @param againMs milliseconds between two checks
 */
export function startNamesakeWarnings({ host, option, look, log }: NamesakeWatch, againMs = checkAgainMs): { close(): void } {
  const warned = new Set<string>();
  let again: NodeJS.Timeout | undefined;
  let closed = false;

  async function run(): Promise<void> {
    const found = await look().catch((error: unknown) => {
      // Either etcd is away, or this agent's user may not read other hosts' endpoints.
      log.debug({ err: error }, 'cannot look for endpoints of this host under another name, so a wrong host name may stay unnoticed; retrying');
      return { own: false, others: [] };
    });
    if (closed) return;
    for (const other of found.others) {
      if (warned.has(other)) continue;
      warned.add(other);
      log.warn({ host, other }, aboutNamesake(option));
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
