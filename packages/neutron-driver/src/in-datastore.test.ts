import { electionKey, resourceKey } from '@calico-openstack/datamodel';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { expect, test } from 'vitest';
import { inDatastore } from './in-datastore.ts';

test('whether the datastore is filled, and who is elected', async () => {
  const { etcd } = fakeEtcd();
  expect((await inDatastore(undefined, etcd)).lines).toEqual([
    'spec.datastoreReady = false (ClusterInformation default; the driver sets it when all of Neutron is in etcd)',
    'no driver is elected (etcd)',
  ]);
  await etcd.transact(
    [],
    [
      { put: resourceKey({ plural: 'clusterinformations', name: 'default' }), value: JSON.stringify({ spec: { datastoreReady: true } }) },
      { put: electionKey(undefined), value: 'controller-1:7' },
    ],
  );
  expect(await inDatastore(undefined, etcd)).toEqual({
    lines: ['spec.datastoreReady = true (ClusterInformation default)', 'the elected driver is "controller-1:7" (etcd)'],
    complaints: [],
  });
});
