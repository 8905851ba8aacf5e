// A plan brought to BIRD: unless it is in doubt, refused, or BIRD is away.
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

/** What a plan is applied with. */
export type ApplierOptions = {
  readonly ownName: string;
  /** BIRD's configuration file, for people. */
  readonly path: string;
  readonly reconciler: Pick<BirdReconciler, 'reconcile'>;
  readonly keeper: BirdKeeper;
  readonly audit: RouteAudit;
  /** The sessions for whose sake the configuration stays as it is (doubts.ts). */
  readonly doubts: (wanted: PrintedConfiguration) => Promise<readonly string[]>;
  readonly health: Component;
  readonly metrics: Pick<Metrics, 'reconfigured'>;
  readonly trouble: TroubleTeller;
  readonly log: Logger;
  readonly clock: Pick<Clock, 'steadyMs'>;
};

/** @returns what makes BIRD follow a plan, and gives what became of it. It rejects with what is neither a refusal nor BIRD being away. */
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
