import { recordingLog } from '@calico-openstack/agent';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { expect, test, vi } from 'vitest';
import { followPorts } from './follow.ts';
import { endpointKey, endpointValue, hostName, keyOfSubnet, subnetValue, type TestPort } from './testing/etcd-values.ts';
import { subnet } from './testing/facts.ts';

const port = (tap: string): TestPort => ({ id: tap, tap, mac: 'fa:16:3e:00:00:01', networkId: 'net-a', addresses: ['10.65.0.11'] });
const eventually = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 20_000 });

function setUp() {
  const fake = fakeEtcd();
  const { log, entries } = recordingLog();
  const heard: string[] = [];
  const state = { faulty: undefined as string | undefined };
  const put = (key: string, value: string) => fake.etcd.transact([], [{ put: key, value }]);
  const start = () =>
    followPorts({
      etcd: fake.connect(),
      region: undefined,
      host: hostName,
      core: {
        etcdChanged(kind, { key, value }) {
          if (key === state.faulty && value !== undefined) throw new Error('a fault of ours');
          heard.push(`${kind} ${key.split('/').at(-1)} ${value ? 'put' : 'gone'}`);
        },
        inSync: () => void heard.push('in sync'),
      },
      wake: () => void heard.push('wake'),
      log,
    });
  return { ...fake, put, start, heard, state, said: (msg: string) => entries.flatMap(({ message, fields }) => (message.startsWith(msg) ? [fields] : [])) };
}

test('ports and subnets reach the core by kind; the core is in sync once all of them are read, and is woken each time', async () => {
  const { put, start, heard, etcd } = setUp();
  const one = port('tap00000001-aa');
  await put(endpointKey(one), endpointValue(one));
  await put(keyOfSubnet('s1'), subnetValue('net-a', subnet('10.65.0.0/24')));
  const follower = start();
  await eventually(() => expect(heard).toContain('in sync'));
  const name = endpointKey(one).split('/').at(-1);
  const news = heard.filter((what) => what !== 'wake');
  expect(news.toSorted()).toEqual([`endpoint ${name} put`, 'in sync', 'subnet s1 put']);
  expect(news.at(-1)).toBe('in sync');
  expect(heard.at(-1)).toBe('wake');
  heard.length = 0;
  await etcd.transact([], [{ delete: keyOfSubnet('s1') }]);
  await eventually(() => expect(heard).toEqual(['subnet s1 gone', 'wake']));
  follower.close();
});

test('a value that the core fails to process counts as absent, is logged with its key, and affects no other', async () => {
  const { put, start, heard, state, said } = setUp();
  state.faulty = keyOfSubnet('s1');
  for (const id of ['s1', 's2']) await put(keyOfSubnet(id), subnetValue('net-a', subnet('10.65.0.0/24')));
  const follower = start();
  await eventually(() => expect(heard).toContain('in sync'));
  expect(heard.filter((what) => what.startsWith('subnet'))).toEqual(['subnet s1 gone', 'subnet s2 put']);
  expect(said('a fault of the DHCP agent')).toMatchObject([{ key: state.faulty }]);
  follower.close();
});

test('losing etcd is logged, and removes nothing', async () => {
  const { put, start, heard, setDown, said } = setUp();
  await put(keyOfSubnet('s1'), subnetValue('net-a', subnet('10.65.0.0/24')));
  const follower = start();
  await eventually(() => expect(heard).toContain('in sync'));
  heard.length = 0;
  setDown(true);
  await eventually(() => expect(said('etcd does not answer')).toHaveLength(1));
  setDown(false);
  await put(keyOfSubnet('s2'), subnetValue('net-a', subnet('10.66.0.0/24')));
  await eventually(() => expect(heard).toContain('subnet s2 put'));
  expect(heard.filter((what) => what.endsWith('gone'))).toEqual([]);
  follower.close();
});
