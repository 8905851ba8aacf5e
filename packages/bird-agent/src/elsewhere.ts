// What is neither on this host nor in what is followed: where etcd is, and the endpoints of workloads that are moving away.
import { EtcdError } from '@calico-openstack/etcd';
import type { DatastoreAddresses } from './datastore-addresses.ts';
import type { Departures } from './departures.ts';
import type { Problem, Resources } from './plan/facts.ts';

/** The addresses of workloads on other hosts, and of those that are moving there. */
export interface Elsewhere extends Pick<DatastoreAddresses, 'addresses'> {
  /** Addresses of workloads here that are moving to another host. */
  readonly moving: Departures['addresses'];
  /** Looks again, and returns the problems found. What cannot be read stays as it was. */
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
