import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { expect, test } from 'vitest';
import { watchHistory } from './history.ts';

async function setUp() {
  const fake = fakeEtcd();
  const reasons: string[] = [];
  const clock = fakeClock();
  const { etcd, loop } = watchHistory(fake.etcd, (reason) => reasons.push(reason), clock);
  await loop.settled();
  for (const value of ['1', '2', '3']) await etcd.transact([], [{ put: '/calico/x', value }]);
  return { ...fake, etcd, loop, reasons, clock };
}

test('an etcd that was emptied or restored is noticed once, by any next question', async () => {
  const { etcd, loop, reasons, replace } = await setUp();
  expect(reasons).toEqual([]);
  replace();
  await Promise.all([etcd.get('/calico/x'), etcd.range('/calico/'), etcd.get('/calico/y')]);
  expect(reasons).toEqual([expect.stringMatching(/restored or replaced/)]);
  await etcd.transact([], [{ put: '/calico/x', value: '4' }]);
  await etcd.get('/calico/x');
  expect(reasons).toHaveLength(1);
  await loop.close();
});

test('it is noticed also without a question', async () => {
  const { loop, reasons, replace, clock } = await setUp();
  replace();
  await clock.pass(4999);
  expect(reasons).toEqual([]);
  await clock.pass(1);
  expect(reasons).toHaveLength(1);
  await loop.close();
});

test('it is noticed also when others have written as many revisions again, by the cluster or the Raft term', async () => {
  const { connect, loop: quiet, clock } = await setUp();
  await quiet.close();
  const reasons: string[] = [];
  let origin = { clusterId: '7', term: 3 };
  const other = connect();
  const { etcd, loop } = watchHistory({ ...other, get: async (key) => ({ ...(await other.get(key)), origin }) }, (reason) => reasons.push(reason), clock);
  await loop.settled();
  const next = async (clusterId: string, term: number): Promise<number> => {
    origin = { clusterId, term };
    await etcd.transact([], [{ put: '/calico/x', value: 'more' }]);
    await clock.pass(5000);
    return reasons.splice(0).length;
  };
  expect(await next('7', 3)).toBe(0);
  expect(await next('7', 4)).toBe(0); // a new leader
  expect(await next('0', 0)).toBe(0); // a proxy
  expect(await next('7', 2)).toBe(1);
  expect(await next('7', 2)).toBe(0);
  expect(await next('8', 9)).toBe(1);
  expect(await next('8', 9)).toBe(0);
  await loop.close();
});

test('answers that overtake one another, and reads of old revisions, do not count', async () => {
  const { connect, etcd, loop, reasons, clock } = await setUp();
  const gate = Promise.withResolvers<void>();
  const other = connect();
  const slow = watchHistory({ ...other, get: async (key) => other.get(key).finally(() => gate.promise) }, (reason) => reasons.push(reason), clock);
  const first = slow.etcd.get('/calico/x');
  await slow.etcd.transact([], [{ put: '/calico/x', value: '5' }]);
  gate.resolve();
  await first;
  await etcd.range('/calico/', { revision: 2 });
  expect(reasons).toEqual([]);
  await loop.close();
  await slow.loop.close();
});
