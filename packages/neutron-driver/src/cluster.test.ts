import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { describe, expect, test } from 'vitest';
import { clusterInformationSpec, ensureClusterRecords, felixConfigurationSpec } from './cluster.ts';

const guid = () => 'f'.repeat(32);
describe('ClusterInformation', () => {
  test.each([
    ['nothing', {}, true, { clusterGUID: guid(), clusterType: 'openstack', datastoreReady: true }],
    ['nothing, before the first resync', {}, false, { clusterGUID: guid(), clusterType: 'openstack' }],
    ["an operator's pause", { datastoreReady: false }, true, { clusterGUID: guid(), clusterType: 'openstack', datastoreReady: false }],
    [
      "another's",
      { clusterGUID: 'abc', clusterType: 'k8s,bgp', calicoVersion: 'v3' },
      true,
      { clusterGUID: 'abc', clusterType: 'k8s,bgp,openstack', calicoVersion: 'v3', datastoreReady: true },
    ],
  ])('%s', (_, spec, ready, expected) => {
    expect(clusterInformationSpec(spec, ready, guid)).toEqual(expected);
  });
});

describe('FelixConfiguration', () => {
  test.each([
    ['nothing', {}, { endpointReportingEnabled: true, interfacePrefix: 'tap', workloadSourceSpoofing: 'Any' }],
    [
      "an operator's",
      { endpointReportingEnabled: false, interfacePrefix: 'cali', workloadSourceSpoofing: 'Disabled', logSeverityScreen: 'Debug' },
      { endpointReportingEnabled: false, interfacePrefix: 'cali,tap', workloadSourceSpoofing: 'Disabled', logSeverityScreen: 'Debug' },
    ],
    [
      'complete',
      { endpointReportingEnabled: true, interfacePrefix: 'tap,cali', workloadSourceSpoofing: 'Any' },
      { endpointReportingEnabled: true, interfacePrefix: 'tap,cali', workloadSourceSpoofing: 'Any' },
    ],
  ])('%s', (_, spec, expected) => {
    expect(felixConfigurationSpec(spec)).toEqual(expected);
  });
});

test('the records are created once and then not changed', async () => {
  const { etcd, contents } = fakeEtcd();
  await ensureClusterRecords(etcd, false);
  await ensureClusterRecords(etcd, true);
  const made = contents();
  expect(JSON.parse(made['/calico/resources/v3/projectcalico.org/clusterinformations/default'] ?? '')).toMatchObject({
    kind: 'ClusterInformation',
    apiVersion: 'projectcalico.org/v3',
    metadata: { name: 'default', uid: expect.any(String) },
    spec: { clusterGUID: expect.stringMatching(/^[0-9a-f]{32}$/), datastoreReady: true },
  });
  await ensureClusterRecords(etcd, true);
  expect(contents()).toEqual(made);
});
