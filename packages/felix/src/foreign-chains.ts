// Finds chains of other programs that drop all packets of workloads: firewalld, ufw and Docker leave such chains. A packet has to pass every chain at its hook, so no rule of ours can
// save it. Then the endpoints cannot be up, and an operator has to change the other program's configuration.
import { type Clock, type Logger, startLoop } from '@calico-openstack/agent';
import { hostU32, type Link, linkNameBytes, type OrdinaryPacket, type OtherChain, type OtherChains, ordinaryPacket } from '@calico-openstack/kernel';
import type { Metrics } from './metrics.ts';

/** What the search works with. */
export type ForeignChainsParts = {
  /** Reads the chains of other programs. */
  readonly read: () => Promise<OtherChains>;
  /** Returns the names of the links by which this host's routes leave it. */
  readonly uplinks: () => readonly string[];
  readonly link: (name: string) => Pick<Link, 'index'> | undefined;
  readonly metrics: Pick<Metrics, 'droppingChains'>;
  readonly log: Logger;
  readonly clock: Clock;
  /** Called when another answer of `obstacleOf` is possible. */
  readonly onChange: () => void;
};

/** The chains of other programs that drop what workloads send or get. */
export interface ForeignChains {
  /** Says that other programs may have changed rules. */
  lookAgain(): void;
  /** Why no packet of an interface passes, as far as is known. @param ipv6 whether the workload has IPv6 */
  obstacleOf(interfaceName: string, ipv6: boolean): string | undefined;
  close(): Promise<void>;
}

const [TCP, UDP, ICMPV6] = [6, 17, 58] as const;
const neighbourSolicitation = 135;
const dhcpServer = Uint8Array.of(0, 67);

/**
 * A reading takes at most a twentieth of the time, and there are this many milliseconds between two at least. They are not more than so many either, because on a busy host a reading mostly
 * waits, and the statuses wait with it.
 */
const [pausePerReading, shortestPauseMs, longestPauseMs] = [20, 200, 5000] as const;

/** Reads at once, and again after each `lookAgain`. */
export function startForeignChains({ read, uplinks, link, metrics, log, clock, onChange }: ForeignChainsParts): ForeignChains {
  let chains: OtherChains | undefined;
  let due = true;
  let earliestMs = Number.NEGATIVE_INFINITY;
  /** The answers since the last reading. Interfaces whose names match the same conditions of the rules share one answer. */
  let answers = new Map<string, string | undefined>();
  /** The droppings that were found since the last reading, and before it. A chain that goes on dropping is logged once. */
  let [found, foundBefore] = [new Set<string>(), new Set<string>()];

  const loop = startLoop({
    async run() {
      if (!due) return undefined;
      const restMs = earliestMs - clock.steadyMs();
      if (restMs > 0) return restMs;
      due = false;
      const startMs = clock.steadyMs();
      chains = await read();
      const endMs = clock.steadyMs();
      earliestMs = endMs + Math.min(longestPauseMs, Math.max(shortestPauseMs, (endMs - startMs) * pausePerReading));
      answers = new Map();
      [found, foundBefore] = [new Set(), found];
      metrics.droppingChains.set(0);
      onChange();
      return undefined;
    },
    onFailure(error, failures) {
      due = true;
      if (failures === 1) log.warn({ err: error }, 'cannot read the chains of other programs, which may drop packets of workloads unnoticed; retrying');
    },
    clock,
  });
  loop.wake();

  function note(chain: string, what: string): string {
    if (!found.has(chain)) {
      found.add(chain);
      metrics.droppingChains.set(found.size);
      if (!foundBefore.has(chain))
        log.error(
          { chain, drops: what },
          'a chain of another program drops packets of workloads, and nothing in Felix’s rules can prevent that: configure that program to let packets from and to the workloads’ interfaces through',
        );
    }
    return `${chain} drops ${what}: let that program accept packets from and to workloads’ interfaces`;
  }

  function search(name: string, ipv6: boolean): string | undefined {
    if (!chains) return undefined;
    const uplinkNames = [...new Set(uplinks())];
    const others = { name: uplinkNames.map(linkNameBytes), index: uplinkNames.flatMap((each) => (link(each) ? [hostU32(link(each)!.index)] : [])) };
    const tap = { name: [linkNameBytes(name)], index: [hostU32(link(name)?.index ?? 0)] };
    const from = { iifname: tap.name, iif: tap.index };
    const to = { oifname: tap.name, oif: tap.index };
    const families: readonly (4 | 6)[] = ipv6 ? [4, 6] : [4];
    for (const family of families) {
      const sent = chains.dropping(['prerouting'], family, ordinaryPacket(family, TCP, from));
      const out =
        sent ?? chains.dropping(['forward', 'postrouting'], family, ordinaryPacket(family, TCP, { ...from, oifname: others.name, oif: others.index }));
      if (out) return note(nameOf(out), `what workloads send over IPv${family}`);
      const got = chains.dropping(['forward', 'postrouting'], family, ordinaryPacket(family, TCP, { ...to, iifname: others.name, iif: others.index }));
      if (got) return note(nameOf(got), `what is sent to workloads over IPv${family}`);
    }
    const asks = (packet: OrdinaryPacket, family: 4 | 6, protocol: number): OtherChain | undefined =>
      chains!.dropping(['prerouting', 'input'], family, ordinaryPacket(family, protocol, { ...from, ...packet }));
    const dhcp = asks({ sport: [Uint8Array.of(0, 68)], dport: [dhcpServer] }, 4, UDP);
    if (dhcp) note(nameOf(dhcp), 'DHCP requests to this host'); // no obstacle: the workload may know its address from elsewhere
    const solicitation = ipv6 ? asks({ icmpType: [Uint8Array.of(neighbourSolicitation)] }, 6, ICMPV6) : undefined;
    return solicitation && note(nameOf(solicitation), 'neighbour solicitations to this host, so that workloads have no IPv6');
  }

  return {
    lookAgain() {
      due = true;
      loop.wake();
    },
    obstacleOf(name, ipv6) {
      if (!chains) return undefined;
      const bytes = linkNameBytes(name);
      const matches = chains.linkNames.map((each) => (Buffer.compare(bytes.subarray(0, each.length), each) === 0 ? '1' : '0')).join('');
      const key = `${ipv6} ${chains.compareIndices ? name : ''} ${matches}`;
      if (!answers.has(key)) answers.set(key, search(name, ipv6));
      return answers.get(key);
    },
    close: () => loop.close(),
  };
}

const nameOf = ({ family, table, chain }: OtherChain): string => `chain ${chain} of table ${family} ${table}`;
