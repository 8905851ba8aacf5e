// Stamps connections that were allowed before our rules required a stamp, or that have stamps in other bits. Established packets are then required to have a stamp.
//
//   found at the start                                   meaning                                  steps
//   rules of ours without stamps, or upstream's rules    every tracked connection was allowed     rules that stamp but do not require it → stamp all → rules that require it
//   stamps in other bits (NftablesMarkMask changed)      stamped connections were allowed         translate → rules that require the new bits → translate what began in between
//   no rules (a boot, a flushed ruleset)                 tracked connections may not be allowed   rules that require stamps at once; only policy gives them
//
// Our table says whether stamps are required, and in which bits (`stampSet`). If this process is killed in between, the next one begins again.
import { backoffMs, type Clock, type Logger, systemClock } from '@calico-openstack/agent';
import type { Conntrack, OpenTable } from '@calico-openstack/kernel';
import { type ConnectionStamps, policingChains, type RenderOptions, stampSet, stampsOf, type TableName } from '@calico-openstack/render';

/** A take-over or a change of bits that may be in progress. */
export interface Stamping {
  /** The options about stamps that the rules should have now. */
  readonly options: Pick<RenderOptions, 'stamps' | 'unstamped'>;
  /** Sets what is called when `options` have changed. */
  onChange(listener: () => void): void;
  /** Sets the bits that the operator wants. */
  want(stamps: ConnectionStamps): void;
  /** Says that rules with the current `options` are in force. */
  rulesInForce(): void;
  /** Says that another program has removed our rules, so that tracked connections may have begun without them. */
  rulesGone(): void;
  close(): void;
}

type Kernel = { readonly tables: Readonly<Record<TableName, OpenTable>>; readonly conntrack: Conntrack };

/** One pass over all connections. Each gets the mark that `next` returns for its mark, in the bits of `mask`. `why` is the line for the log. */
type Pass = { readonly why: string; readonly mask: number; readonly next: (mark: number) => number };

const bitsOf = ({ egress, ingress }: ConnectionStamps): number => (egress | ingress) >>> 0;

/**
 * Reads from our table what an earlier run has left. Longer than 80 lines: the steps of one take-over, each of which begins where the last one ended.
 * @param wanted the bits that the operator wants
 * @param otherPolices whether another Felix's rules are in force, and have policed all tracked connections
 */
export function createStamping(
  { tables, conntrack }: Kernel,
  wanted: ConnectionStamps,
  otherPolices: boolean,
  log: Logger,
  clock: Pick<Clock, 'pause'> = systemClock,
): Stamping {
  const held = tables.inet.hasRules(policingChains.inet);
  const inForce = held ? stampsOf(tables.inet.elementsOf(stampSet)) : undefined;
  let current = inForce ?? wanted;
  let target = wanted;
  let unstamped: RenderOptions['unstamped'] = (held && !inForce) || (!held && otherPolices) ? 'pass' : 'judge';
  let changed = (): void => undefined;
  /** The pass that has to be repeated under the rules that require the new bits. */
  let remainder: Pass | undefined;
  let running = false;
  const closing = new AbortController();
  const isOpen = (): boolean => !closing.signal.aborted;

  /** Marks every connection, and retries until that succeeds. Returns false when it is no longer wanted. */
  async function mark({ why, mask, next }: Pass, isWanted = isOpen): Promise<boolean> {
    for (let failures = 1; isWanted(); failures += 1) {
      try {
        const report = await conntrack.markFlows(mask, (before) => (isWanted() ? next(before) : before));
        if (isWanted()) log.info({ connections: report.seen, marked: report.marked, mask: `0x${mask.toString(16)}` }, why);
        return isWanted();
      } catch (error) {
        const retryMs = backoffMs({ firstMs: 500, maxMs: 30_000 }, failures);
        if (failures === 1)
          log.error({ err: error, retryMs: Math.round(retryMs) }, 'cannot stamp connections; until a retry succeeds, the former rules stay; see the error');
        await clock.pause(retryMs, closing.signal);
      }
    }
    return false;
  }

  async function takeOver(): Promise<void> {
    const mask = bitsOf(current);
    const pass = { why: 'connections that were let through before are stamped', mask, next: () => mask };
    if (await mark(pass, () => unstamped === 'pass' && isOpen())) unstamped = 'judge';
  }

  async function changeBits(): Promise<void> {
    const [from, to] = [current, target];
    const all = (bitsOf(from) | bitsOf(to)) >>> 0;
    if ((bitsOf(from) & bitsOf(to)) !== 0) {
      // A bit would have two meanings. All stamps are removed, and policy gives new ones.
      remainder = {
        why: 'connections have lost their stamps, because the new NftablesMarkMask gives the old bits another meaning; policy judges their next packets',
        mask: all,
        next: () => 0,
      };
      current = to;
      return;
    }
    const next = (before: number): number => (before & (from.egress | to.egress) ? to.egress : 0) | (before & (from.ingress | to.ingress) ? to.ingress : 0);
    const why = 'connections are stamped with the bits of the new NftablesMarkMask';
    if (!(await mark({ why, mask: bitsOf(to), next }))) return;
    remainder = { why, mask: all, next };
    current = to;
  }

  async function finish(pass: Pass): Promise<void> {
    remainder = undefined;
    await mark(pass);
  }

  function nextStep(): Promise<void> | undefined {
    if (unstamped === 'pass') return takeOver();
    if (remainder) return finish(remainder);
    return bitsOf(current) === bitsOf(target) ? undefined : changeBits();
  }

  return {
    get options() {
      return { stamps: current, unstamped };
    },
    onChange(listener) {
      changed = listener;
    },
    want(stamps) {
      target = stamps;
    },
    rulesInForce() {
      if (running) return;
      const step = nextStep();
      if (!step) return;
      running = true;
      void step.finally(() => {
        running = false;
        if (isOpen()) changed();
      });
    },
    rulesGone() {
      if (unstamped === 'judge') return;
      log.warn(
        {},
        'somebody else removed the rules of Felix before all connections were stamped; policy judges the next packets of connections without a stamp',
      );
      unstamped = 'judge';
      changed();
    },
    close: () => closing.abort(),
  };
}
