// What this agent tells etcd: that it lives, and how each workload is. Starts with the first step that has programmed the kernel, follows the settings from then on.
import { type Clock, type Logger, type Loop, startLoop } from '@calico-openstack/agent';
import { type EndpointStatus, endpointStatusKey, type WorkloadId } from '@calico-openstack/datamodel';
import type { Etcd, LeasedWriter } from '@calico-openstack/etcd';
import type { WorkloadStatus } from '../dataplane.ts';
import type { FelixConfig } from '../option-table.ts';
import { createEndpointStatusReporter, type EndpointStatusReporter } from './endpoints.ts';
import { startHeartbeat } from './heartbeat.ts';

export interface Statuses {
  /** The settings are these from now on. */
  configure(config: FelixConfig): void;
  /** undefined: the workload is gone. */
  note(statuses: ReadonlyMap<WorkloadId, WorkloadStatus | undefined>): void;
  close(): Promise<void>;
}

export type StatusesOptions = {
  readonly etcd: Etcd;
  readonly region: string | undefined;
  readonly host: string;
  readonly startedAtMs: number;
  readonly log: Logger;
  readonly clock: Clock;
};

export function startStatuses({ etcd, region, host, startedAtMs, log, clock }: StatusesOptions): Statuses {
  /** Also while nothing is reported: it may be switched on later. */
  const known = new Map<WorkloadId, { readonly key: string; readonly status: EndpointStatus }>();
  let reporter: EndpointStatusReporter | undefined;
  let heartbeat: { readonly writer: LeasedWriter; readonly intervalMs: number; readonly ttlSeconds: number } | undefined;

  const loop: Loop = startLoop({
    run: async () => ((await reporter?.write()) ? 0 : undefined),
    onFailure: (error, failures, retryMs) => {
      if (failures === 1) log.warn({ err: error, retryMs: Math.round(retryMs) }, 'cannot report endpoint statuses; tried until it succeeds');
    },
    clock,
  });

  function configureHeartbeat({ ReportingIntervalSecs, ReportingTTLSecs: ttlSeconds }: FelixConfig): void {
    const intervalMs = ReportingIntervalSecs * 1000;
    if (heartbeat?.intervalMs === intervalMs && heartbeat.ttlSeconds === ttlSeconds) return;
    void heartbeat?.writer.close();
    heartbeat = undefined;
    if (intervalMs <= 0) return;
    const onError = (error: unknown): void => log.warn({ err: error }, 'cannot report that this agent lives; tried again at the next interval');
    heartbeat = { intervalMs, ttlSeconds, writer: startHeartbeat(etcd, { region, host, intervalMs, ttlSeconds, startedAtMs, onError, clock }) };
  }

  return {
    configure(config) {
      configureHeartbeat(config);
      if (config.EndpointReportingEnabled && !reporter) {
        reporter = createEndpointStatusReporter(etcd, region, host, () => loop.wake());
        for (const { key, status } of known.values()) reporter.want(key, status);
      } else if (!config.EndpointReportingEnabled) {
        reporter?.close();
        reporter = undefined;
      }
    },
    note(statuses) {
      for (const [id, told] of statuses) {
        if (!told) {
          const gone = known.get(id);
          known.delete(id);
          if (gone) reporter?.want(gone.key, undefined);
          log.info({ endpoint: id }, 'endpoint gone');
          continue;
        }
        const { workload, status, reason } = told;
        const key = endpointStatusKey(region, { host, orchestrator: workload.orchestrator, workload: workload.workload, endpoint: workload.endpoint });
        known.set(id, { key, status });
        reporter?.want(key, status);
        const line = { endpoint: id, device: workload.interfaceName, addresses: workload.addresses.join(','), status };
        if (status === 'error') log.error({ ...line, reason }, 'endpoint not programmed, or not all of it');
        else log.info(line, 'endpoint');
      }
    },
    async close() {
      await loop.close();
      reporter?.close();
      await heartbeat?.writer.close();
    },
  };
}
