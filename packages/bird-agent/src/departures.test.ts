import { expect, test } from 'vitest';
import { followDepartures } from './departures.ts';
import { bytes } from './testing/bytes.ts';
import { resourcesOf, type Specs } from './testing/facts.ts';

const end = (hostname: string) => ({ workloadEndpoint: { hostname, orchestratorID: 'openstack', workloadID: 'openstack/vm', endpointID: 'port' } });
const leaving = (from: string): Specs => ({ 'livemigrations/openstack/m': { source: end(from), target: end('other') } });

function datastore(values: ReadonlyMap<string, Uint8Array>) {
  const asked: string[] = [];
  return {
    asked,
    get: async (key: string) => {
      asked.push(key);
      const value = values.get(key);
      return { revision: 1, found: value && ({ key, value, modRevision: 1 } as never) };
    },
  };
}
const key = '/calico/resources/v3/projectcalico.org/workloadendpoints/openstack/h1-openstack-vm-port';
const endpoint = bytes({
  interfaceName: 'tap0',
  ipNetworks: ['10.65.0.4/32', '10.70.0.0/24'],
  ipNATs: [{ internalIP: '10.65.0.4', externalIP: '203.0.113.4' }],
});

test('a workload that leaves this host is known by its addresses and floating IPs, is read once, and forgotten with its LiveMigration', async () => {
  const etcd = datastore(new Map([[key, endpoint]]));
  const departures = followDepartures(etcd as never, 'h1');
  for (let round = 0; round < 2; round += 1) await departures.refresh(resourcesOf(leaving('h1')).departures);
  expect(departures.addresses).toEqual(['10.65.0.4/32', '203.0.113.4/32']);
  expect(etcd.asked).toEqual([key]);
  await departures.refresh(resourcesOf({}).departures);
  expect(departures.addresses).toEqual([]);
});
test('one that leaves another host is none of ours', async () => {
  const etcd = datastore(new Map([[key, endpoint]]));
  const departures = followDepartures(etcd as never, 'h2');
  await departures.refresh(resourcesOf(leaving('h1')).departures);
  expect([departures.addresses, etcd.asked]).toEqual([[], []]);
});
test('an endpoint that is not there, or no endpoint, is looked for again', async () => {
  const values = new Map<string, Uint8Array>();
  const departures = followDepartures(datastore(values) as never, 'h1');
  await departures.refresh(resourcesOf(leaving('h1')).departures);
  expect(departures.addresses).toEqual([]);
  values.set(key, bytes({ interfaceName: '' }));
  await departures.refresh(resourcesOf(leaving('h1')).departures);
  expect(departures.addresses).toEqual([]);
  values.set(key, endpoint);
  await departures.refresh(resourcesOf(leaving('h1')).departures);
  expect(departures.addresses).toHaveLength(2);
});
test('a LiveMigration that is not understood moves nothing', async () => {
  const departures = followDepartures(datastore(new Map([[key, endpoint]])) as never, 'h1');
  for (const source of [
    undefined,
    7,
    {},
    { workloadEndpoint: { hostname: 'h1' } },
    { workloadEndpoint: { ...end('h1').workloadEndpoint, workloadID: 'a/b/c' } },
  ]) {
    await departures.refresh(resourcesOf({ 'livemigrations/openstack/m': { source } }).departures);
    expect(departures.addresses).toEqual([]);
  }
});
