// The addresses of workloads that are leaving this host. Each endpoint that a LiveMigration names is read once, and kept as long as the LiveMigration exists.
import { type Cidr, hostCidr, isHostCidr } from '@calico-openstack/addresses';
import { decodeWorkloadEndpoint } from '@calico-openstack/datamodel';
import type { Etcd } from '@calico-openstack/etcd';
import type { Resources } from './plan/facts.ts';

/** The workloads that are leaving. */
export interface Departures {
  /** Their known addresses, sorted. */
  readonly addresses: readonly Cidr[];
  /** Reads the endpoints of new LiveMigrations. Rejects with EtcdError; endpoints that could not be read are retried at the next call. */
  refresh(departures: Resources['departures']): Promise<void>;
}

/** The workloads that leave this host. */
export function followDepartures(etcd: Pick<Etcd, 'get'>, host: string): Departures {
  const known = new Map<string, readonly Cidr[]>();
  let addresses: readonly Cidr[] = [];

  async function addressesAt(key: string): Promise<readonly Cidr[] | undefined> {
    const { found } = await etcd.get(key);
    const endpoint = found && decodeWorkloadEndpoint(found.value);
    if (!endpoint?.ok) return undefined;
    const { ipNetworks, ipNats } = endpoint.value;
    return [...ipNetworks.filter(isHostCidr), ...ipNats.map(({ external }) => hostCidr(external))];
  }

  return {
    get addresses() {
      return addresses;
    },
    async refresh(departures) {
      const keys = new Set(
        [...departures.values()].flatMap((departure) => (departure.ok && departure.value?.host === host ? [departure.value.endpointKey] : [])),
      );
      for (const key of known.keys()) if (!keys.has(key)) known.delete(key);
      try {
        for (const key of keys) {
          if (known.has(key)) continue;
          const found = await addressesAt(key);
          if (found) known.set(key, found);
        }
      } finally {
        addresses = [...new Set([...known.values()].flat())].sort();
      }
    },
  };
}
