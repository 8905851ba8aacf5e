// What can be asked by Prometheus. Names as in Calico where Calico has them.
import { Counter, Gauge, Registry, Summary } from '@calico-openstack/agent';

export type Metrics = {
  readonly registry: Registry;
  readonly resyncState: Gauge;
  readonly updates: Counter;
  readonly localEndpoints: Gauge;
  readonly dataplaneFailures: Counter;
  /** Values that made Felix throw. */
  readonly faults: Counter;
  /** Keys that are no UTF-8. */
  readonly unreadableKeys: Gauge;
  readonly applySeconds: Summary;
  /** How many addresses (or gateways, floating IPs) a workload asks for and does not get. */
  noteRefusals(id: string, count: number): void;
  /** A datastore value stopped or started to be understood. */
  noteDefect(key: string, present: boolean): void;
};

export function createMetrics(host: string): Metrics {
  const registry = new Registry();
  const registers = [registry];
  new Gauge({ name: 'felix_host', help: 'Always 1; the label is the name of this host.', labelNames: ['host'], registers }).set({ host }, 1);
  const refusals = new Map<string, number>();
  const refused = new Gauge({
    name: 'felix_refused_addresses',
    help: 'What workloads of this host ask for and do not get, since somebody else has it or nobody can.',
    registers,
  });
  const defects = new Set<string>();
  const invalid = new Gauge({ name: 'felix_invalid_values', help: 'Datastore values that are not understood, and therefore let nothing through.', registers });
  return {
    registry,
    resyncState: new Gauge({ name: 'felix_resync_state', help: 'Of the datastore: 1 waiting, 2 reading, 3 in sync.', registers }),
    faults: new Counter({
      name: 'felix_value_faults',
      help: 'Datastore values that Felix failed to take in by a fault of its own; they count as absent.',
      registers,
    }),
    unreadableKeys: new Gauge({ name: 'felix_unreadable_keys', help: 'Datastore keys that are no UTF-8, and are ignored.', registers }),
    updates: new Counter({ name: 'felix_calc_graph_updates_processed', help: 'Datastore updates taken in.', registers }),
    localEndpoints: new Gauge({ name: 'felix_active_local_endpoints', help: 'Workload endpoints of this host.', registers }),
    dataplaneFailures: new Counter({
      name: 'felix_int_dataplane_failures',
      help: 'Times that the kernel could not be programmed and it was tried again.',
      registers,
    }),
    applySeconds: new Summary({
      name: 'felix_int_dataplane_apply_time_seconds',
      help: 'Time from looking at what changed to the kernel holding it.',
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
