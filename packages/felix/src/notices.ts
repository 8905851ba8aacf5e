// What an operator is told of values in the datastore and of workloads, in the log and in metrics, beside how the programming went.
import type { Logger } from '@calico-openstack/agent';
import type { DesiredChange } from '@calico-openstack/datamodel';
import type { Calculation } from '@calico-openstack/policy';
import type { RejectedEdit } from '@calico-openstack/render';
import type { Metrics } from './metrics.ts';

export class Notices {
  readonly #log: Logger;
  readonly #metrics: Metrics;

  constructor(log: Logger, metrics: Metrics) {
    this.#log = log;
    this.#metrics = metrics;
  }

  /** A value that should have been understood or refused has thrown: a fault of ours, for which nothing else is held up. */
  fault(error: unknown, key: string): void {
    this.#metrics.faults.inc();
    this.#log.error({ err: error, key }, 'a fault of Felix: it failed to process this value and treats it as absent; please report it with the value');
  }

  /** Values that are not understood, or understood again. */
  defects(defects: ReturnType<Calculation['takeDefects']>): void {
    for (const [key, defect] of defects) {
      if (defect) this.#log.warn({ key, reason: defect.reason }, 'not understood: it lets nothing through that a valid reading would have stopped');
      else this.#log.info({ key }, 'understood again, or gone');
      this.#metrics.noteDefect(key, defect !== undefined);
    }
  }

  /** What is calculated, and not yet programmed by this version: an operator must not believe that it is in force. And what workloads ask for and do not get. */
  change({ hostEndpoints, pools, workloads }: DesiredChange): void {
    for (const [id, endpoint] of hostEndpoints)
      if (endpoint) this.#log.warn({ hostEndpoint: id }, 'host endpoints are not programmed by this version: the host’s own interfaces are not policed');
    for (const pool of pools.values()) if (pool?.natOutgoing) this.#log.warn({ pool: pool.cidr }, 'outgoing NAT of IP pools is not programmed by this version');
    for (const [id, workload] of workloads) {
      this.#metrics.noteRefusals(id, workload?.refusals?.length ?? 0);
      if (workload?.qosControls) this.#log.warn({ endpoint: workload.id }, 'QoS controls are not programmed by this version');
    }
  }

  /** The renderer wants what the rules cannot say: a fault of ours. */
  rejected({ table, edit, error }: RejectedEdit): void {
    this.#log.error({ err: error, table, edit: edit.edit }, 'a rule cannot be programmed: what it governs stays closed');
  }
}
