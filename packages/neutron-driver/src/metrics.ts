// The driver's Prometheus metrics.
import { addProcessMetrics, Gauge, Registry } from '@calico-openstack/agent';

/** What the metrics are read from. */
export type MetricsSources = {
  /** How many ports migrate to a host whose Felix should have reported them and has not. */
  readonly unreportedMigrations: () => number;
  /** How many transactions of Neutron's have not been brought to etcd with certainty. */
  readonly journalEntries: () => number;
};

/** Creates the metrics. They are read from the sources when somebody asks for the page. */
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
  read('journal_entries', "Transactions of Neutron's of which it is not certain that etcd has them.", journalEntries);
  addProcessMetrics(registry);
  return registry;
}
