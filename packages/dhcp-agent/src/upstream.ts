// Ends what upstream's DHCP agent leaves on a host when it is stopped: a Dnsmasq for each network, and the link `ns-…` that carries the network's gateways.
// Those Dnsmasqs would answer guests beside this agent's: a guest would get two offers, and its renewal could reach the one without its lease. They are ended once this agent's serve.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Logger, type Loop, startLoop } from '@calico-openstack/agent';
import type { LinkEditor, Links } from '@calico-openstack/kernel/links/link';
import { allProcesses, commandOf, networkNamespaceOf, type ProcessIdentity, processFacts } from '@calico-openstack/kernel/processes/processes';
import { kill } from './dnsmasq/process.ts';

/** A Dnsmasq process of this network namespace, with its command line. */
type Dnsmasq = ProcessIdentity & { readonly command: readonly string[] };

/** The Dnsmasq and the link that upstream's agent has left for one network. */
export type Leaving = { readonly network: string; readonly dnsmasq: Dnsmasq | undefined; readonly link: string | undefined };

const isNetworkId = (name: string): boolean => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name);
/** The name of a network's link, which is limited to an interface's 15 bytes. */
const linkOf = (network: string): string => `ns-${network.slice(0, 11)}`;

/**
 * Finds what upstream's agent has left, by the files that it keeps: `<directory>/<network id>/pid`. The process with that pid counts only if it is a Dnsmasq of this network
 * namespace that was started with this very file and link. A link counts only if it leads nowhere. Neutron's own DHCP agent has network namespaces of its own.
 */
export function findUpstreams(directory: string, links: Links): readonly Leaving[] {
  return entriesOf(directory)
    .filter(isNetworkId)
    .flatMap((network) => {
      const pidFile = join(directory, network, 'pid');
      const found = dnsmasqOf(Number(textOf(pidFile)) || 0);
      const isIts = [`--pid-file=${pidFile}`, `--interface=${linkOf(network)}`].every((word) => found?.command.includes(word));
      const dnsmasq = isIts ? found : undefined;
      const link = isIdle(links, linkOf(network)) ? linkOf(network) : undefined;
      return dnsmasq || link ? [{ network, dnsmasq, link }] : [];
    });
}

/** Finds Dnsmasqs that look like upstream's but keep their files elsewhere. Only an operator can say whether they may end. */
export const strangers = (known: readonly Leaving[]): readonly Dnsmasq[] =>
  allProcesses()
    .flatMap(({ pid }) => dnsmasqOf(pid) ?? [])
    .filter(({ pid, command }) => command.some((word) => /^--bridge-interface=ns-/.test(word)) && !known.some(({ dnsmasq }) => dnsmasq?.pid === pid));

/** The Dnsmasq with this pid; undefined when the process is gone, is not a Dnsmasq, or runs in another network namespace. */
function dnsmasqOf(pid: number): Dnsmasq | undefined {
  const facts = processFacts(pid);
  const command = commandOf(pid);
  if (facts === undefined || facts.zombie || basename(command[0] ?? '') !== 'dnsmasq' || networkNamespaceOf(pid) !== networkNamespaceOf('self'))
    return undefined;
  return { pid, startTicks: facts.startTicks, command };
}

/** Whether a link has nothing at its other end. */
function isIdle(links: Links, name: string): boolean {
  const kind = links.link(name)?.kind;
  return kind === 'dummy' || kind === 'ifb';
}

/** The names in a directory; none when it cannot be read. */
function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** How often to look again: an agent of upstream's that was not stopped restarts its Dnsmasqs. */
const lookEveryMs = 60_000;

/**
 * Ends what upstream's agent has left, from the first call of `serving` on.
 * @param ready resolves when this agent's Dnsmasqs answer
 */
export function endUpstreams({
  directory,
  links,
  ready,
  log,
}: {
  readonly directory: string;
  readonly links: Links & LinkEditor;
  readonly ready: () => Promise<unknown>;
  readonly log: Logger;
}): { serving(): void; close(): Promise<void> } {
  const closed = Promise.withResolvers<void>();
  let isOpen = true;
  let isServing = false;
  let ended = false;
  const told = new Set<number>();

  const loop: Loop = startLoop({
    async run() {
      if (!isServing) return undefined;
      await Promise.race([ready(), closed.promise]);
      if (!isOpen) return undefined;
      const found = findUpstreams(directory, links);
      for (const one of found) await end(one);
      if (found.some(({ dnsmasq }) => dnsmasq)) {
        const facts = { networks: found.map(({ network }) => network) };
        if (ended)
          log.warn(
            facts,
            'Dnsmasqs of another DHCP agent were started again and have been ended: that agent seems to run on this host beside this one; stop it',
          );
        else log.info(facts, 'Dnsmasqs that another DHCP agent had left are ended, because this agent serves their ports now');
        ended = true;
      }
      for (const { pid, command } of strangers(found)) {
        if (told.has(pid)) continue;
        told.add(pid);
        log.warn(
          { process: pid, command: command.join(' ') },
          'a Dnsmasq of another DHCP agent runs with its files elsewhere, so this agent does not end it; it may answer guests too; end it',
        );
      }
      return lookEveryMs;
    },
    onFailure: (error, failures, retryMs) =>
      log.error(
        { err: error, failures, retryMs: Math.round(retryMs) },
        'cannot end Dnsmasqs that another DHCP agent has left, so guests may get two answers; retrying',
      ),
  });

  async function end({ dnsmasq, link }: Leaving): Promise<void> {
    if (dnsmasq) await kill(dnsmasq);
    const refusal = link && links.removeLink(link);
    if (refusal && refusal.code !== 'ENODEV')
      log.warn(
        { link, reason: refusal.code },
        'cannot remove the link that another DHCP agent has left, so guests may see a second gateway; remove it with ip link del',
      );
  }

  return {
    serving() {
      if (isServing) return;
      isServing = true;
      loop.wake();
    },
    close() {
      isOpen = false;
      closed.resolve();
      return loop.close();
    },
  };
}
