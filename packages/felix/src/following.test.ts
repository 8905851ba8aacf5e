// Following the datastore, with an etcd and a clock in memory: what is processed when, and what is reported.
import { recordingLog } from '@calico-openstack/agent';
import { fakeClock, settled } from '@calico-openstack/agent/fake-clock';
import type { Etcd } from '@calico-openstack/etcd';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { afterEach, expect, test } from 'vitest';
import { Following } from './following.ts';
import { createMetrics } from './metrics.ts';
import { Notices } from './notices.ts';

const closing: Following[] = [];
afterEach(() => {
  for (const following of closing.splice(0)) following.close();
});
const keyOf = (name: string): string => `/calico/resources/v3/projectcalico.org/globalnetworksets/${name}`;

function world() {
  const etcd = fakeEtcd();
  const clock = fakeClock();
  const { log, entries } = recordingLog();
  const metrics = createMetrics('host0', {
    calculation: () => ({}) as never,
    tables: () => ({}) as never,
    routes: () => undefined,
  });
  /** Everything that was called back, in order. */
  const done: string[] = [];
  const state = { failsOn: '' };
  const start = (): Following => {
    const following = new Following({
      etcd: etcd.connect(),
      metrics,
      notices: new Notices(log, metrics),
      component: {
        report: ({ live, ready, detail }) =>
          void done.push(`reports ${live ? 'live' : 'dead'} ${ready ? 'ready' : 'unready'} ${detail === undefined ? '' : 'why'}`),
      },
      log,
      clock,
      update(key, value) {
        done.push(`${value === undefined ? 'deletes' : 'updates'} ${key.slice(key.lastIndexOf('/') + 1)}`);
        if (key === state.failsOn && value) throw new Error('a fault');
      },
      onChange: () => void done.push('change'),
      onInSync: () => void done.push('in sync'),
    });
    closing.push(following);
    return following;
  };
  const valueIn = async (metric: { get(): Promise<{ values: readonly { value: number }[] }> }): Promise<number> => (await metric.get()).values.at(-1)!.value;
  return { etcd, clock, entries, metrics, done, state, start, valueIn, put: (name: string) => etcd.etcd.transact([], [{ put: keyOf(name), value: '{}' }]) };
}

test('the values of the first reading are processed at once, and a later change waits until the loop asks for it', async () => {
  const w = world();
  await w.put('early');
  const following = w.start();
  expect(following.inSync).toBe(false);
  await settled();
  expect(following.inSync).toBe(true);
  expect(w.done.filter((what) => !what.startsWith('reports'))).toEqual(['updates early', 'change', 'in sync']);
  w.done.length = 0;
  await w.put('late');
  await settled();
  expect(w.done).toEqual(['change']);
  expect(following.takePortion()).toBe(false);
  expect(w.done).toEqual(['change', 'updates late']);
  expect(following.takePortion()).toBe(false);
  expect(w.done).toHaveLength(2);
});

test('a turn that took long makes the next portions smaller', async () => {
  const w = world();
  const following = w.start();
  await settled();
  const masses = async (): Promise<number> => {
    for (let index = 0; index < 400; index += 1) await w.put(`n${index}`);
    await settled();
    let portions = 1;
    while (following.takePortion()) portions += 1;
    return portions;
  };
  const before = await masses();
  following.noteTook(10_000);
  expect(await masses()).toBeGreaterThan(before);
});

test('a value that cannot be processed is reported, and the others are processed all the same', async () => {
  const w = world();
  w.state.failsOn = keyOf('bad');
  for (const name of ['a', 'bad', 'c']) await w.put(name);
  w.start();
  await settled();
  expect(w.done.filter((what) => what.startsWith('updates'))).toEqual(['updates a', 'updates bad', 'updates c']);
  expect(w.done).toContain('deletes bad'); // it counts as absent
  expect(w.entries.filter(({ message }) => message.startsWith('a fault of Felix'))).toMatchObject([{ fields: { key: keyOf('bad') } }]);
});

test('the component is ready while the datastore is followed, and the metrics say in which state it is', async () => {
  const w = world();
  w.etcd.setDown(true);
  w.start();
  await settled();
  expect(await w.valueIn(w.metrics.resyncState)).toBe(1);
  expect(await w.valueIn(w.metrics.resyncsStarted)).toBe(0);
  expect(w.entries.filter(({ message }) => message.startsWith('etcd is away'))).toHaveLength(1);
  expect(w.done.at(-1)).toBe('reports live unready why');
  w.etcd.setDown(false);
  await settled();
  expect(await w.valueIn(w.metrics.resyncState)).toBe(3);
  expect(await w.valueIn(w.metrics.resyncsStarted)).toBe(1);
  expect(w.done.filter((what) => what.startsWith('reports')).at(-1)).toBe('reports live ready ');
  expect(w.entries.filter(({ message }) => message.startsWith('the state of the connection')).map(({ fields }) => fields)).toMatchObject([
    { state: 'reading' },
    { state: 'following' },
  ]);
});

test('the state while the datastore is read is a state of its own', async () => {
  const w = world();
  const { set } = w.metrics.resyncState;
  const states: number[] = [];
  w.metrics.resyncState.set = function (this: unknown, ...given: Parameters<typeof set>) {
    states.push(given[0] as unknown as number);
    return set.apply(this as never, given);
  } as typeof set;
  w.start();
  await settled();
  expect(states.slice(-2)).toEqual([2, 3]);
});

test('how long the processing took, and the keys that came, are in the metrics', async () => {
  const w = world();
  const told: unknown[] = [];
  w.metrics.calculationSeconds.observe = ((seconds: number) => void told.push(seconds)) as never;
  w.metrics.noteUpdates = (keys) => void told.push([...keys]);
  const following = w.start();
  await settled();
  following.takePortion();
  expect(told).toEqual([]); // nothing came
  await w.put('one');
  await settled();
  let nowMs = 0;
  w.clock.steadyMs = () => (nowMs += 500);
  following.takePortion();
  expect(told).toEqual([0.5, [keyOf('one')]]);
});

test('keys that are not UTF-8 are counted and logged', async () => {
  const w = world();
  const following = new Following({
    etcd: {
      follow: ((_prefixes, listener) => {
        listener.onUnreadable?.(3, '/calico/\ufffd');
        return { state: 'following', revision: 1, close: () => void w.done.push('closed') };
      }) satisfies Etcd['follow'],
    },
    metrics: w.metrics,
    notices: new Notices(recordingLog().log, w.metrics),
    component: { report: () => undefined },
    log: { ...recordingLog().log, warn: (...said: unknown[]) => void w.done.push(JSON.stringify(said)) },
    clock: w.clock,
    update: () => undefined,
    onChange: () => undefined,
    onInSync: () => undefined,
  });
  expect(await w.valueIn(w.metrics.unreadableKeys)).toBe(3);
  expect(w.done.join()).toContain('/calico/');
  following.close();
  expect(w.done.at(-1)).toBe('closed');
});
