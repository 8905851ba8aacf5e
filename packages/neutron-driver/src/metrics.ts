// The driver's Prometheus metrics.
import { addProcessMetrics, Gauge, Registry } from '@calico-openstack/agent';

/** The sources of the metrics. */
export type MetricsSources = {
  /** The number of ports that migrate to a host whose Felix should have reported them and has not. */
  readonly unreportedMigrations: () => number;
  /** The number of objects whose changes may not have reached etcd yet. */
  readonly journalEntries: () => number;
};

/** Creates the metrics. Their values are read from the sources when the page is requested. */
export function driverMetrics({ unreportedMigrations, journalEntries }: MetricsSources): Registry {
  const registry = new Registry();
  const read = (of: string, help: string, value: () => number): void => {
    new Gauge({
      name: `calico_neutron_driver_${of}`,
      help,
      registers: [registry],
      collect() {
        this.set(value());
      },
    });
  };
  read(
    'unreported_migrations',
    'Ports that migrate to a host whose Felix should have reported them and has not: their VMs will have no network there.',
    unreportedMigrations,
  );
  read('journal_entries', 'Objects whose changes in Neutron may not have reached etcd yet.', journalEntries);
  addProcessMetrics(registry);
  return registry;
}
