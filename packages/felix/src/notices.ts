// Logs and counts what an operator should know of datastore values and workloads. How the programming of the kernel goes is logged elsewhere.
import type { Logger } from '@calico-openstack/agent';
import type { DesiredChange } from '@calico-openstack/datamodel';
import type { Calculation } from '@calico-openstack/policy';
import { qosLimits, type RejectedEdit } from '@calico-openstack/render';
import type { Metrics } from './metrics.ts';

/** Writes to the log and the metrics. */
export class Notices {
  readonly #log: Logger;
  readonly #metrics: Metrics;
  /** The interfaces of which `sysctlsRestored` has warned. */
  readonly #restored = new Set<string>();

  constructor(log: Logger, metrics: Metrics) {
    this.#log = log;
    this.#metrics = metrics;
  }

  /** Reports that processing a value has thrown. This is a fault of ours, because every value should be understood or rejected. */
  fault(error: unknown, key: string): void {
    this.#metrics.faults.inc();
    this.#log.error({ err: error, key }, 'a fault of Felix: it failed to process this value and treats it as absent; please report it with the value');
  }

  /** Reports values that are not understood or contradict others, and values of which that is no longer true. */
  defects(defects: ReturnType<Calculation['takeDefects']>): void {
    for (const [key, defect] of defects) {
      if (defect)
        this.#log.warn(
          { key, reason: defect.reason },
          'the value of this key is not valid; where it is in doubt, packets are denied; correct the value for the given reason',
        );
      else this.#log.info({ key }, 'the value of this key is valid again, or deleted');
      this.#metrics.noteDefect(key, defect !== undefined);
    }
  }

  /** Counts the addresses that workloads are refused, and warns of QoS controls that are not in force. */
  change({ workloads }: DesiredChange): void {
    for (const [id, workload] of workloads) {
      this.#metrics.noteRefusals(id, workload?.refusals?.length ?? 0);
      const unheeded = workload?.qosControls ? qosLimits(workload.qosControls).unheeded : [];
      if (unheeded.length > 0)
        this.#log.warn({ endpoint: id, reasons: unheeded }, 'QoS controls are not in force as they are written: put them right where they come from');
    }
  }

  /**
   * Reports sysctls of an interface that another program had changed and that have been written again. It warns once for each interface, because a program that does it in a loop
   * would fill the log; the metric counts on.
   */
  sysctlsRestored(name: string, sysctls: readonly string[]): void {
    this.#metrics.restoredSysctls.inc(sysctls.length);
    if (this.#restored.has(name)) return;
    this.#restored.add(name);
    this.#log.warn(
      { interface: name, sysctls },
      'another program has changed sysctls of a workload’s interface, and Felix has set them again (felix_restored_sysctls counts how often); find out which program did it, often a file in /etc/sysctl.d',
    );
  }

  /** Reports an edit of the renderer that the kernel's tables cannot express. This is a fault of ours. */
  rejected({ table, edit, error }: RejectedEdit): void {
    this.#log.error(
      { err: error, table, edit: edit.edit },
      'a fault of Felix: a rule cannot be programmed, and the packets that it is about are dropped; please report this line',
    );
  }
}
