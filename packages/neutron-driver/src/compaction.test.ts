import { silentLog } from '@calico-openstack/agent';
import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { expect, test } from 'vitest';
import { decideCompaction, startCompaction } from './compaction.ts';

test.each([
  ['never looked before', 5000, undefined, { compactTo: undefined, last: 0 }],
  ['a period of little change: the minimum is kept', 5000, { revision: 0, noted: 4900 }, { compactTo: 4000, last: 4000 }],
  ['a period of much change: all of it is kept', 5000, { revision: 0, noted: 1500 }, { compactTo: 1500, last: 1500 }],
  ['too young', 800, { revision: 0, noted: 1 }, { compactTo: undefined, last: 0 }],
  ['nothing new to compact', 5000, { revision: 4000, noted: 4900 }, { compactTo: undefined, last: 4000 }],
  ['another etcd', 100, { revision: 4000, noted: 50 }, { compactTo: undefined, last: 0 }],
])('%s', (_, revision, last, decision) => {
  expect(decideCompaction(revision, last, 1000)).toEqual(decision);
});

test('a check is recorded under a lease and not repeated before that expires; a driver that is not elected does not check', async () => {
  const { etcd, contents, advanceSeconds } = fakeEtcd();
  let elected = false;
  const look = async (): Promise<void> => {
    const loop = startCompaction({ etcd, periodMinutes: 60, minRevisions: 2, elected: () => elected, log: silentLog() });
    await loop.settled();
    await loop.close();
  };
  await look();
  expect(contents()).toEqual({});
  elected = true;
  await look();
  expect(contents()).toEqual({ '/calico/compaction/v1/last': '0', '/calico/compaction/v1/trigger': String(process.pid) });
  const { revision } = await etcd.get('/');
  await look();
  expect((await etcd.get('/')).revision).toBe(revision);
  for (let change = 0; change < 10; change += 1) await etcd.transact([], [{ put: '/other', value: String(change) }]);
  await advanceSeconds(3600);
  await look();
  expect(contents()['/calico/compaction/v1/last']).toBe(String(revision));
});

test('whether to compact is asked once a minute, and at once when this driver is elected; a period of 0 never', async () => {
  const { etcd, contents, setDown } = fakeEtcd();
  const clock = fakeClock();
  let elected = false;
  const options = { etcd, periodMinutes: 60, minRevisions: 2, elected: () => elected, log: silentLog(), clock };
  const never = startCompaction({ ...options, elected: () => true, periodMinutes: 0 });
  const loop = startCompaction(options);
  await clock.pass(60_000);
  elected = true;
  await clock.pass(59_999);
  expect(contents()).toEqual({});
  setDown(true);
  await clock.pass(1);
  setDown(false);
  await clock.pass(1000);
  expect(Object.keys(contents())).toHaveLength(2); // a compaction that failed is retried soon
  await loop.close();
  await never.close();
});
