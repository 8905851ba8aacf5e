// Reports to etcd that this agent is alive, and the status of each workload. It starts when the kernel has been programmed for the first time, and follows the settings from then on.
import { type Clock, type Logger, type Loop, startLoop } from '@calico-openstack/agent';
import {
  type EndpointStatus,
  endpointStatusKey,
  endpointStatusPrefix,
  type HostEndpointId,
  hostEndpointStatusKey,
  hostEndpointStatusPrefix,
  type WorkloadId,
} from '@calico-openstack/datamodel';
import type { Etcd, LeasedWriter } from '@calico-openstack/etcd';
import type { WorkloadStatus } from '../dataplane.ts';
import type { HostEndpointStatus } from '../host-endpoints.ts';
import type { FelixConfig } from '../option-table.ts';
import { createEndpointStatusReporter, type EndpointStatusReporter } from './endpoints.ts';
import { startHeartbeat } from './heartbeat.ts';

/** The reports of this agent. */
export interface Statuses {
  /** Sets the settings in force. */
  configure(config: FelixConfig): void;
  /** Logs and reports statuses that may have changed; undefined for a workload that is gone. */
  note(statuses: ReadonlyMap<WorkloadId, WorkloadStatus | undefined>): void;
  /** The same for host endpoints. */
  noteHosts(statuses: ReadonlyMap<HostEndpointId, HostEndpointStatus | undefined>): void;
  /** Ends reporting. The keys stay in etcd; that of the heartbeat expires. */
  close(): Promise<void>;
}

/** What `startStatuses` works with. */
export type StatusesOptions = {
  readonly etcd: Etcd;
  readonly region: string | undefined;
  readonly host: string;
  /** When the process started, in ms since the epoch. */
  readonly startedAtMs: number;
  readonly log: Logger;
  readonly clock: Clock;
};

/** Nothing is reported before the first `configure`. */
export function startStatuses({ etcd, region, host, startedAtMs, log, clock }: StatusesOptions): Statuses {
  /** The statuses of all endpoints, also while reporting is switched off, because it may be switched on later. By the workload's id, or by the key of a host endpoint's status. */
  const known = new Map<string, { readonly key: string; readonly status: EndpointStatus }>();
  let reporter: EndpointStatusReporter | undefined;
  let heartbeat: { readonly writer: LeasedWriter; readonly intervalMs: number; readonly ttlSeconds: number } | undefined;

  const loop: Loop = startLoop({
    run: async () => ((await reporter?.write()) ? 0 : undefined),
    onFailure: (error, failures, retryMs) => {
      if (failures === 1)
        log.warn(
          { err: error, retryMs: Math.round(retryMs) },
          'cannot report endpoint statuses to etcd; Neutron shows old port statuses until a retry succeeds; see that etcd runs and that this user has the rights that calico-openstack etcd-roles gives',
        );
    },
    clock,
  });

  function configureHeartbeat({ ReportingIntervalSecs, ReportingTTLSecs: ttlSeconds }: FelixConfig): void {
    const intervalMs = ReportingIntervalSecs * 1000;
    if (heartbeat?.intervalMs === intervalMs && heartbeat.ttlSeconds === ttlSeconds) return;
    void heartbeat?.writer.close();
    heartbeat = undefined;
    if (intervalMs <= 0) return;
    const onError = (error: unknown): void =>
      log.warn(
        { err: error },
        'cannot report to etcd that this agent is alive; Neutron may show it as dead; the next attempt is in one interval; see that etcd runs and that this user has the rights that calico-openstack etcd-roles gives',
      );
    heartbeat = { intervalMs, ttlSeconds, writer: startHeartbeat(etcd, { region, host, intervalMs, ttlSeconds, startedAtMs, onError, clock }) };
  }

  function forget(id: string): void {
    const gone = known.get(id);
    known.delete(id);
    if (gone) reporter?.want(gone.key, undefined);
  }

  function want(id: string, key: string, status: EndpointStatus): void {
    known.set(id, { key, status });
    reporter?.want(key, status);
  }

  return {
    configure(config) {
      configureHeartbeat(config);
      if (config.EndpointReportingEnabled && !reporter) {
        reporter = createEndpointStatusReporter(etcd, [endpointStatusPrefix(region, host), hostEndpointStatusPrefix(host)], () => loop.wake());
        for (const { key, status } of known.values()) reporter.want(key, status);
      } else if (!config.EndpointReportingEnabled) {
        reporter?.close();
        reporter = undefined;
      }
    },
    note(statuses) {
      for (const [id, told] of statuses) {
        if (!told) {
          forget(id);
          log.info({ endpoint: id }, 'the endpoint is gone from this host');
          continue;
        }
        const { workload, status, reason } = told;
        const key = endpointStatusKey(region, { host, orchestrator: workload.orchestrator, workload: workload.workload, endpoint: workload.endpoint });
        want(id, key, status);
        const line = { endpoint: id, device: workload.interfaceName, addresses: workload.addresses.join(','), status };
        if (status === 'error')
          log.error({ ...line, reason }, 'the endpoint is not programmed, or only in part; its status is `error` until the reason is gone');
        else log.info(line, 'the endpoint has a new status');
      }
    },
    noteHosts(statuses) {
      for (const [id, told] of statuses) {
        const key = hostEndpointStatusKey(host, id);
        if (!told) {
          forget(key);
          log.info({ hostEndpoint: id }, 'the host endpoint is gone from this host');
          continue;
        }
        want(key, key, told.status);
        if (told.status === 'error')
          log.error({ hostEndpoint: id, reason: told.reason }, 'the host endpoint governs no interface; its status is `error` until the reason is gone');
        else log.info({ hostEndpoint: id, status: told.status }, 'the host endpoint has a new status');
      }
    },
    async close() {
      await loop.close();
      reporter?.close();
      await heartbeat?.writer.close();
    },
  };
}
