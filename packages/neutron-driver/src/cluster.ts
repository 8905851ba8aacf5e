// The cluster's records: ClusterInformation and FelixConfiguration `default`. Only missing fields are added; what an operator has set stays.
import { randomUUID } from 'node:crypto';
import { type Fields, isFields, resourceKey, sameContent } from '@calico-openstack/datamodel';
import type { Etcd } from '@calico-openstack/etcd';
import { birth, encodeContent, storedFields } from './sync/content.ts';
import { felixConfigurationKey } from './sync/plan.ts';

const clusterInformationKey = resourceKey({ plural: 'clusterinformations', name: 'default' });

const specOf = (stored: Fields | undefined): Fields => (stored && isFields(stored['spec']) ? stored['spec'] : {});
const withItem = (list: unknown, item: string): string => {
  const items = typeof list === 'string' ? list.split(',').filter((one) => one.trim() !== '') : [];
  return items.some((one) => one.trim() === item) ? (list as string) : [...items, item].join(',');
};

/** The completed spec of ClusterInformation. `ready`: whether to set datastoreReady when nobody has set it. An explicit false stays, because an operator has paused the cluster by it. */
export function clusterInformationSpec(spec: Fields, ready: boolean, guid: () => string): Fields {
  return {
    ...spec,
    ...(!spec['clusterGUID'] && { clusterGUID: guid() }),
    clusterType: withItem(spec['clusterType'], 'openstack'),
    ...(ready && spec['datastoreReady'] === undefined && { datastoreReady: true }),
  };
}

/** The spec of FelixConfiguration `default`, completed with the values that OpenStack needs. */
export function felixConfigurationSpec(spec: Fields): Fields {
  return {
    ...spec,
    ...(spec['endpointReportingEnabled'] === undefined && { endpointReportingEnabled: true }),
    interfacePrefix: withItem(spec['interfacePrefix'], 'tap'),
    ...(spec['workloadSourceSpoofing'] === undefined && { workloadSourceSpoofing: 'Any' }),
  };
}

/** Completes both records, each by compare-and-swap, and only when a field is missing. Rejects with EtcdError. */
export async function ensureClusterRecords(etcd: Etcd, ready: boolean): Promise<void> {
  await ensure(etcd, clusterInformationKey, 'ClusterInformation', (spec) => clusterInformationSpec(spec, ready, () => randomUUID().replaceAll('-', '')));
  await ensure(etcd, felixConfigurationKey, 'FelixConfiguration', felixConfigurationSpec);
}

async function ensure(etcd: Etcd, key: string, kind: string, complete: (spec: Fields) => Fields): Promise<void> {
  for (;;) {
    const { found } = await etcd.get(key);
    const stored = storedFields(found?.value);
    const spec = complete(specOf(stored));
    if (stored && sameContent(spec, stored['spec'])) return;
    const value = encodeContent(stored, { kind, name: 'default', spec }, birth());
    const { succeeded } = await etcd.transact([{ key, modRevision: found?.modRevision ?? 0 }], [{ put: key, value }]);
    if (succeeded) return;
  }
}
