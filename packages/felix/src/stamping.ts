// Connections that were let through before our rules asked for a stamp, or with stamps of other bits: they are given what they lack, once, and only then is it asked for.
//
//   rules of ours without stamps, or upstream's, in force all the time   every connection that is tracked was let through: rules that stamp and do not ask → stamp all → rules that ask
//   stamps of other bits (NftablesMarkMask changed)                      translate → rules that ask for the new bits → translate what began between
//   no rules (a boot, a flushed ruleset)                                 nobody knows what began: nothing is stamped but by policy
//
// Our table says whether stamps are asked for, and which (`stampSet`). Killed in between, the next run begins again.
import { backoffMs, type Clock, type Logger, systemClock } from '@calico-openstack/agent';
import type { Conntrack, OpenTable } from '@calico-openstack/kernel';
import { type ConnectionStamps, type RenderOptions, stampSet, stampsOf, type TableName } from '@calico-openstack/render';

export interface Stamping {
  /** What the rules are to do about stamps. */
  readonly options: Pick<RenderOptions, 'stamps' | 'unstamped'>;
  /** `options` are others now. */
  onChange(listener: () => void): void;
  /** The operator wants these bits. */
  want(stamps: ConnectionStamps): void;
  /** The rules of `options` are in force. */
  rulesInForce(): void;
  /** Somebody has taken our rules away: what is tracked now may have begun without them. */
  rulesGone(): void;
  close(): void;
}

type Kernel = { readonly tables: Readonly<Record<TableName, OpenTable>>; readonly conntrack: Conntrack };

/** One look at all connections, each of which gets the `next` mark in the bits of `mask`. */
type Pass = { readonly why: string; readonly mask: number; readonly next: (mark: number) => number };

const bitsOf = ({ egress, ingress }: ConnectionStamps): number => (egress | ingress) >>> 0;

/**
 * Looks at what an earlier run has left. Longer than 80 lines: the steps of one take-over, each of which begins where the last one ended.
 * @param wanted the bits that the operator wants
 * @param otherPolices another Felix's rules stand, and have policed all that is tracked
 */
export function createStamping(
  { tables, conntrack }: Kernel,
  wanted: ConnectionStamps,
  otherPolices: boolean,
  log: Logger,
  clock: Pick<Clock, 'pause'> = systemClock,
): Stamping {
  const held = tables.inet.exists();
  const inForce = held ? stampsOf(tables.inet.elementsOf(stampSet)) : undefined;
  let current = inForce ?? wanted;
  let target = wanted;
  let unstamped: RenderOptions['unstamped'] = (held && !inForce) || (!held && otherPolices) ? 'pass' : 'judge';
  let changed = (): void => undefined;
  /** What is to be done once more under the rules that ask for the new bits. */
  let remainder: Pass | undefined;
  let running = false;
  const closing = new AbortController();
  const isOpen = (): boolean => !closing.signal.aborted;

  /** Marks every connection. False: it is no longer wanted. */
  async function mark({ why, mask, next }: Pass, isWanted = isOpen): Promise<boolean> {
    for (let failures = 1; isWanted(); failures += 1) {
      try {
        const report = await conntrack.markFlows(mask, (before) => (isWanted() ? next(before) : before));
        if (isWanted()) log.info({ connections: report.seen, marked: report.marked, mask: `0x${mask.toString(16)}` }, why);
        return isWanted();
      } catch (error) {
        const retryMs = backoffMs({ firstMs: 500, maxMs: 30_000 }, failures);
        if (failures === 1) log.error({ err: error, retryMs: Math.round(retryMs) }, 'cannot stamp connections: until that is done the rules stay as they were');
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
      // One bit would mean two things: the old meaning is taken away, and policy gives the new one.
      remainder = {
        why: 'connections have lost their stamps, since NftablesMarkMask gave their bits another meaning: policy judges them anew',
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
      log.warn({}, 'our rules were gone before all connections were stamped: those without a stamp are judged by policy now');
      unstamped = 'judge';
      changed();
    },
    close: () => closing.abort(),
  };
}
