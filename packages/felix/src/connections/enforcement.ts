// Cuts what policy lets through no more: after each change a look at the connections that it may concern. One look at a time; changes that come meanwhile share the next.
import { backoffMs, type Clock, type Logger, systemClock } from '@calico-openstack/agent';
import type { Conntrack, FlowChange, FlowRecord } from '@calico-openstack/kernel';
import type { Concerned } from './concerned.ts';

export interface Enforcement {
  /** The rules in force are those that `judge` judges by. `concerned`: whose connections are to be looked at. */
  enforce(concerned: Concerned): void;
  close(): void;
}

/** Between two looks the rest of the host has its turn: where every second brings a change, and there are many connections, a look may not follow a look. */
const restOfLook = 2;
const longestRestMs = 400;

/** @param judge made for each look, by the rules as they are then */
export function startEnforcement(
  conntrack: Pick<Conntrack, 'reviewFlows'>,
  judge: () => (flow: FlowRecord) => FlowChange | undefined,
  log: Logger,
  clock: Pick<Clock, 'steadyMs' | 'pause'> = systemClock,
): Enforcement {
  const closing = new AbortController();
  let waiting: Concerned = new Set();
  let running = false;

  async function look(): Promise<void> {
    const taken = waiting;
    waiting = new Set();
    const startMs = clock.steadyMs();
    try {
      const { deleted, marked, seen } = await conntrack.reviewFlows(taken, judge());
      const tookMs = Math.round(clock.steadyMs() - startMs);
      if (deleted + marked > 0) log.info({ cut: deleted, marked, seen, tookMs }, 'connections were held to the policy that is in force now');
    } catch (error) {
      waiting = both(waiting, taken); // nothing is forgotten
      throw error;
    }
    await clock.pause(Math.min(longestRestMs, (clock.steadyMs() - startMs) * restOfLook), closing.signal);
  }

  async function run(): Promise<void> {
    running = true;
    let failures = 0;
    while (isSomething(waiting) && !closing.signal.aborted) {
      try {
        await look();
        failures = 0;
      } catch (error) {
        if (closing.signal.aborted) break;
        failures += 1;
        const retryMs = backoffMs({ firstMs: 200, maxMs: 30_000 }, failures);
        if (failures === 1)
          log.error(
            { err: error, retryMs: Math.round(retryMs) },
            'cannot look at connections: some that policy no longer allows may go on until this is tried again',
          );
        await clock.pause(retryMs, closing.signal);
      }
    }
    running = false;
  }

  return {
    enforce(concerned) {
      waiting = both(waiting, concerned);
      if (!running && isSomething(waiting)) void run();
    },
    close: () => closing.abort(),
  };
}

const isSomething = (concerned: Concerned): boolean => concerned === 'all' || concerned.size > 0;
const both = (one: Concerned, other: Concerned): Concerned => (one === 'all' || other === 'all' ? 'all' : new Set([...one, ...other]));
