// Cuts connections that policy no longer allows. After a change it reviews the connections that the change may concern. One review runs at a time; changes that come meanwhile share the
// next one.
import { backoffMs, type Clock, type Logger, systemClock } from '@calico-openstack/agent';
import type { Conntrack, FlowChange, FlowRecord } from '@calico-openstack/kernel';
import type { Concerned } from './concerned.ts';

/** Reviews connections. */
export interface Enforcement {
  /** The rules have changed. Reviews the connections of these addresses, if any. The kernel must already have the rules by which `judge` decides. */
  enforce(concerned: Concerned): void;
  close(): void;
}

/** The pause after a review, as a multiple of its duration. It leaves the processor to others when there are many connections and a change every second. */
const restOfReview = 2;
const longestRestMs = 400;

/** Starts idle. A failed review is logged and retried. @param judge returns the decision for one connection by the current rules; it is called at most once for each change */
export function startEnforcement(
  conntrack: Pick<Conntrack, 'reviewFlows'>,
  judge: () => (flow: FlowRecord) => FlowChange | undefined,
  log: Logger,
  clock: Pick<Clock, 'steadyMs' | 'pause'> = systemClock,
): Enforcement {
  const closing = new AbortController();
  let waiting: Concerned = new Set();
  let running = false;
  /**
   * The judge by the current rules. It is made for the first connection that a review finds, because that reads all interfaces and chains of the host, and most reviews after a new endpoint
   * find no connection. It is dropped at each change of the rules, because a connection that began under new rules while a review ran must not be cut by the old ones.
   */
  let decide: ReturnType<typeof judge> | undefined;

  async function review(): Promise<void> {
    const taken = waiting;
    waiting = new Set();
    const startMs = clock.steadyMs();
    try {
      const { deleted, marked, seen } = await conntrack.reviewFlows(taken, (flow) => {
        decide ??= judge();
        return decide(flow);
      });
      const tookMs = Math.round(clock.steadyMs() - startMs);
      if (deleted + marked > 0) log.info({ cut: deleted, marked, seen, tookMs }, 'connections were held to the policy that is in force now');
    } catch (error) {
      waiting = both(waiting, taken); // the next review includes these addresses
      throw error;
    }
    await clock.pause(Math.min(longestRestMs, (clock.steadyMs() - startMs) * restOfReview), closing.signal);
  }

  async function run(): Promise<void> {
    running = true;
    let failures = 0;
    while (isSomething(waiting) && !closing.signal.aborted) {
      try {
        await review();
        failures = 0;
      } catch (error) {
        if (closing.signal.aborted) break;
        failures += 1;
        const retryMs = backoffMs({ firstMs: 200, maxMs: 30_000 }, failures);
        if (failures === 1)
          log.error(
            { err: error, retryMs: Math.round(retryMs) },
            'cannot review connections; some that policy no longer allows may go on until a retry succeeds; see the error',
          );
        await clock.pause(retryMs, closing.signal);
      }
    }
    running = false;
  }

  return {
    enforce(concerned) {
      decide = undefined;
      waiting = both(waiting, concerned);
      if (!running && isSomething(waiting)) void run();
    },
    close: () => closing.abort(),
  };
}

const isSomething = (concerned: Concerned): boolean => concerned === 'all' || concerned.size > 0;
const both = (one: Concerned, other: Concerned): Concerned => (one === 'all' || other === 'all' ? 'all' : new Set([...one, ...other]));
