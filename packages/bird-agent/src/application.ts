// Brings a plan to BIRD, unless the plan is in doubt or refused, or BIRD is not running.
import type { Clock, Component, Logger } from '@calico-openstack/agent';
import type { BirdReconciler } from './apply.ts';
import { createPrinter, type PrintedConfiguration } from './bird/print.ts';
import type { BirdKeeper } from './bird-keeper.ts';
import { doubtProblem } from './doubts.ts';
import type { LastLook } from './look-again.ts';
import type { Metrics } from './metrics.ts';
import type { Problem } from './plan/facts.ts';
import type { Plan } from './plan/plan.ts';
import type { RouteAudit } from './route-audit.ts';
import type { TroubleTeller } from './trouble.ts';

/** The result of applying a plan: what happened to BIRD, and the problems found. */
export type Applied = { readonly bird: LastLook['bird']; readonly problems: readonly Problem[] };

/** The parts that applying a plan needs. */
export type ApplierOptions = {
  readonly ownName: string;
  /** The path of BIRD's configuration file, for messages. */
  readonly path: string;
  readonly reconciler: Pick<BirdReconciler, 'reconcile'>;
  readonly keeper: BirdKeeper;
  readonly audit: RouteAudit;
  /** Returns the sessions for which the configuration stays unchanged (doubts.ts). */
  readonly doubts: (wanted: PrintedConfiguration) => Promise<readonly string[]>;
  readonly health: Component;
  readonly metrics: Pick<Metrics, 'reconfigured'>;
  readonly trouble: TroubleTeller;
  readonly log: Logger;
  readonly clock: Pick<Clock, 'steadyMs'>;
};

/** @returns the function that applies a plan to BIRD. That BIRD refuses the plan or is not running is a result; the function rejects with any other error. */
export function planApplier(options: ApplierOptions): (planned: Extract<Plan, { ok: true }>) => Promise<Applied> {
  const { ownName, path, reconciler, keeper, audit, doubts, health, metrics, trouble, log, clock } = options;
  const print = createPrinter();

  async function apply({ configuration }: Extract<Plan, { ok: true }>): Promise<Applied> {
    const startedMs = clock.steadyMs();
    const wanted = print(configuration);
    const doubted = await doubts(wanted);
    if (doubted.length > 0) {
      if ((await keeper.keep()) === 'away') return { bird: 'away', problems: [] };
      health.report({ live: true, ready: true });
      return { bird: 'doubted', problems: [doubtProblem(ownName, doubted)] };
    }
    const outcome = await reconciler.reconcile(wanted);
    if (outcome.kind !== 'refused') await audit.look(wanted.guards);
    trouble.over();
    health.report({ live: true, ready: outcome.kind !== 'refused' });
    if (outcome.kind === 'right') return { bird: outcome.kind, problems: audit.problems };
    metrics.reconfigured(outcome.kind);
    if (outcome.kind === 'refused') {
      const refusal = { key: path, reason: `BIRD refuses it: ${outcome.reason}`, effect: 'the last good configuration stays' };
      return { bird: outcome.kind, problems: [...audit.problems, refusal] };
    }
    log.info({ sessions: configuration.sessions.length, tookMs: Math.round(clock.steadyMs() - startedMs) }, 'BIRD reconfigured');
    return { bird: outcome.kind, problems: audit.problems };
  }

  return async (planned) => {
    try {
      return await apply(planned);
    } catch (error) {
      return { bird: keeper.away(error), problems: [] };
    }
  };
}
