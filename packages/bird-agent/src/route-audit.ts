// Decides when BIRD's refused routes are read, and when BIRD judges accepted routes again. The queries are in `audit.ts`.
import type { Clock, Logger } from '@calico-openstack/agent';
import { judgeAgain, limitProblems, type Refusal, refusalProblem, refusals } from './audit.ts';
import type { BirdControl } from './bird/control.ts';
import { auditMs } from './look-again.ts';
import type { Problem } from './plan/facts.ts';

/** Checks periodically which routes BIRD accepts and refuses. */
export interface RouteAudit {
  /**
   * Queries BIRD if the last query was `auditMs` ago or the guards have changed. After a change of the guards, the sessions whose routes were judged by the former ones are refreshed.
   * @param guards the digest of what decides whose routes are taken (`PrintedConfiguration.guards`)
   * Rejects with BirdError; the query is retried at the next look.
   */
  look(guards: string): Promise<void>;
  /** The problems that the last look found. */
  readonly problems: readonly Problem[];
}

/** How BIRD is reached, and the limits that are checked. */
export type RouteAuditOptions = {
  readonly control: () => Promise<BirdControl>;
  /** How many routes each neighbour may announce (`MaxRoutesPerPeer`); 0 when there is no limit. */
  readonly mostRoutes: number;
  readonly onRefusals: (refusals: readonly Refusal[]) => void;
  readonly log: Logger;
  readonly clock: Pick<Clock, 'steadyMs'>;
};

/** Creates an audit that has not looked yet. */
export function routeAudit({ control: connect, mostRoutes, onRefusals, log, clock }: RouteAuditOptions): RouteAudit {
  let last: { readonly guards: string; readonly atMs: number } | undefined;
  let problems: readonly Problem[] = [];
  return {
    async look(guards) {
      const atMs = clock.steadyMs();
      const isChanged = guards !== last?.guards;
      if (!isChanged && atMs < (last?.atMs ?? 0) + auditMs) return;
      const control = await connect();
      if (isChanged) {
        const sessions = await judgeAgain(control);
        if (sessions.length > 0)
          log.info({ sessions }, 'neighbours are asked to send their routes again, because the addresses that they may announce have changed');
      }
      const limits = mostRoutes > 0 ? await limitProblems(control, mostRoutes) : [];
      const refused = await refusals(control);
      onRefusals(refused);
      problems = [...refused.map(refusalProblem), ...limits];
      last = { guards, atMs };
    },
    get problems() {
      return problems;
    },
  };
}
