// Reads what the datastore has for the driver, for `--check-config`.
import type { InDatastore } from '@calico-openstack/agent';
import { decodeResource, electionKey, resourceKey } from '@calico-openstack/datamodel';
import { type EtcdReads, readOnce } from '@calico-openstack/etcd';
import type { Options } from './option-table.ts';

/** Describes what a driver would find in etcd at its start. Writes nothing. @throws EtcdError when etcd does not answer or refuses */
export const readDriverDatastore = (options: Pick<Options, 'etcd' | 'region'>): Promise<InDatastore> =>
  readOnce(options.etcd, (etcd) => inDatastore(options.region, etcd));

/** Describes what a driver would find in this datastore. Rejects with EtcdError. */
export async function inDatastore(region: string | undefined, etcd: Pick<EtcdReads, 'get'>): Promise<InDatastore> {
  const [{ found: information }, { found: leader }] = await Promise.all([
    etcd.get(resourceKey({ plural: 'clusterinformations', name: 'default' })),
    etcd.get(electionKey(region)),
  ]);
  const resource = information && decodeResource(information.value);
  const isReady = resource?.ok === true && resource.value.spec['datastoreReady'] === true;
  return {
    lines: [
      `spec.datastoreReady = ${isReady} (ClusterInformation default${isReady ? '' : '; the driver sets it when all of Neutron is in etcd'})`,
      leader ? `the elected driver is ${JSON.stringify(Buffer.from(leader.value).toString().slice(0, longestName))} (etcd)` : 'no driver is elected (etcd)',
    ],
    complaints: [],
  };
}

const longestName = 200;
