// Felix's metrics for Prometheus. They have Calico's names where Calico has them.
import { Counter, Gauge, Registry, Summary } from '@calico-openstack/agent';

/** The metrics, of which the properties' help texts say more. */
export type Metrics = {
  /** All metrics, for the HTTP page. */
  readonly registry: Registry;
  readonly resyncState: Gauge;
  readonly updates: Counter;
  readonly localEndpoints: Gauge;
  readonly dataplaneFailures: Counter;
  /** Datastore values for which Felix has thrown. */
  readonly faults: Counter;
  /** Datastore keys that are not UTF-8. */
  readonly unreadableKeys: Gauge;
  readonly applySeconds: Summary;
  /** Sets how many addresses, gateways and floating IPs a workload is refused. */
  noteRefusals(id: string, count: number): void;
  /** Notes that a datastore value has become invalid (`present`), or is valid again or gone. */
  noteDefect(key: string, present: boolean): void;
};

/** Metrics that all start at zero. @param host the label of `felix_host` */
export function createMetrics(host: string): Metrics {
  const registry = new Registry();
  const registers = [registry];
  new Gauge({ name: 'felix_host', help: 'Always 1; the label is the name of this host.', labelNames: ['host'], registers }).set({ host }, 1);
  const refusals = new Map<string, number>();
  const refused = new Gauge({
    name: 'felix_refused_addresses',
    help: 'Addresses that workloads of this host are refused, because somebody else has them or no workload may have them.',
    registers,
  });
  const defects = new Set<string>();
  const invalid = new Gauge({
    name: 'felix_invalid_values',
    help: 'Datastore values that are not valid; where they are in doubt, packets are denied.',
    registers,
  });
  return {
    registry,
    resyncState: new Gauge({ name: 'felix_resync_state', help: 'State of the connection to the datastore: 1 waiting, 2 reading, 3 in sync.', registers }),
    faults: new Counter({
      name: 'felix_value_faults',
      help: 'Datastore values that Felix failed to process by a fault of its own; they count as absent.',
      registers,
    }),
    unreadableKeys: new Gauge({ name: 'felix_unreadable_keys', help: 'Datastore keys that are not UTF-8, and are ignored.', registers }),
    updates: new Counter({ name: 'felix_calc_graph_updates_processed', help: 'Datastore updates processed.', registers }),
    localEndpoints: new Gauge({ name: 'felix_active_local_endpoints', help: 'Workload endpoints of this host.', registers }),
    dataplaneFailures: new Counter({
      name: 'felix_int_dataplane_failures',
      help: 'Failed attempts to program the kernel, each of which was retried.',
      registers,
    }),
    applySeconds: new Summary({
      name: 'felix_int_dataplane_apply_time_seconds',
      help: 'Seconds from processing a change to the kernel having it.',
      percentiles: [0.5, 0.9, 0.99],
      registers,
    }),
    noteRefusals(id, count) {
      if (count > 0) refusals.set(id, count);
      else if (!refusals.delete(id)) return;
      refused.set([...refusals.values()].reduce((sum, each) => sum + each, 0));
    },
    noteDefect(key, present) {
      if (present) defects.add(key);
      else defects.delete(key);
      invalid.set(defects.size);
    },
  };
}
