// Looks up facts that are neither on this host nor among the followed keys: etcd's addresses, and the endpoints of workloads that are migrating to another host.
import { EtcdError } from '@calico-openstack/etcd';
import type { DatastoreAddresses } from './datastore-addresses.ts';
import type { Departures } from './departures.ts';
import type { Problem, Resources } from './plan/facts.ts';

/** The addresses of etcd, and those of workloads that are migrating to other hosts. */
export interface Elsewhere extends Pick<DatastoreAddresses, 'addresses'> {
  /** The addresses of workloads of this host that are migrating to another one. */
  readonly moving: Departures['addresses'];
  /** Looks the addresses up again, and returns the problems found. Addresses that cannot be read stay as they were. */
  look(departures: Resources['departures']): Promise<readonly Problem[]>;
}

/** Joins the datastore's addresses and the departures. */
export const elsewhere = (datastore: DatastoreAddresses, departures: Departures): Elsewhere => ({
  get addresses() {
    return datastore.addresses;
  },
  get moving() {
    return departures.addresses;
  },
  async look(known) {
    await datastore.refresh();
    try {
      await departures.refresh(known);
      return [];
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      return [
        {
          key: 'LiveMigration',
          reason: `the endpoint of a workload that is moving away cannot be read: ${error.code}`,
          effect: 'its route here stands against that to its new host until it can',
        },
      ];
    }
  },
});
