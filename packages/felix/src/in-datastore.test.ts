import { optionsInForce, type Source } from '@calico-openstack/agent';
import { resourceKey } from '@calico-openstack/datamodel';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { expect, test } from 'vitest';
import { inDatastore } from './in-datastore.ts';

const local: Source[] = [
  {
    name: 'a.cfg',
    dialect: 'cfg',
    texts: new Map([
      ['felixhostname', 'h1'],
      ['healthport', '1'],
    ]),
  },
];

/** What is reported of a datastore with these resources, by plural and name. */
async function reportOf(resources: Record<string, object>) {
  const { etcd } = fakeEtcd();
  for (const [path, value] of Object.entries(resources)) {
    const [plural, name] = path.split('/') as ['nodes', string];
    await etcd.transact([], [{ put: resourceKey({ plural, name }), value: JSON.stringify(value) }]);
  }
  const { resolution, lines, complaints } = await inDatastore(local, etcd);
  return { inForce: optionsInForce(resolution!), lines, complaints };
}
const ready = { 'clusterinformations/default': { spec: { datastoreReady: true } } };

test('each parameter is in force from the first place that sets it: this host, its own FelixConfiguration, one that selects its Node, the default one', async () => {
  const { inForce, lines, complaints } = await reportOf({
    ...ready,
    'nodes/h1': { metadata: { labels: { rack: '1' } } },
    'felixconfigurations/default': { spec: { healthPort: 4, metadataPort: 4, vxlanPort: 4, routeRefreshInterval: '4s', healthHost: 'default' } },
    'felixconfigurations/rack': { spec: { nodeSelector: 'rack == "1"', healthPort: 3, metadataPort: 3, vxlanPort: 3 } },
    'felixconfigurations/other': { spec: { nodeSelector: 'rack == "2"', healthHost: 'other' } },
    'felixconfigurations/node.h1': { spec: { healthPort: 2, metadataPort: 2 } },
    'felixconfigurations/node.h2': { spec: { healthHost: 'h2' } },
  });
  expect(inForce).toEqual(
    expect.arrayContaining([
      'HealthPort = 1 (a.cfg)',
      'MetadataPort = 2 (FelixConfiguration node.h1)',
      'VXLANPort = 3 (FelixConfiguration rack)',
      'RouteRefreshInterval = 4 (FelixConfiguration default)',
      'HealthHost = default (FelixConfiguration default)',
      'Ipv6Support = true (default)',
    ]),
  );
  expect(lines).toEqual(['spec.datastoreReady = true (ClusterInformation default)']);
  expect(complaints).toEqual([]);
});

test('what cannot be read, a datastore that is not ready and other names of this host are complained of', async () => {
  const { inForce, lines, complaints } = await reportOf({
    'felixconfigurations/default': { spec: { nodeSelector: '', healthPort: 'many', metadataPort: 'many' } },
    'felixconfigurations/rack': { spec: { nodeSelector: 'rack ==' } },
    'nodes/H1': {},
    'nodes/h10': {},
  });
  expect(inForce).toContain('MetadataPort = 8775 (default)');
  expect(lines).toEqual(['spec.datastoreReady = false (ClusterInformation default)']);
  expect(complaints).toMatchObject([
    { source: 'FelixConfiguration rack', problem: expect.stringContaining('it counts as absent') },
    { option: 'MetadataPort', source: 'FelixConfiguration default', value: 'many' },
    { source: 'ClusterInformation default' },
    { source: 'this host is h1, etcd knows H1', problem: expect.stringContaining('set FelixHostname in felix.cfg') },
  ]);
});
