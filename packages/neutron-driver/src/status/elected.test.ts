import { recordingLog } from '@calico-openstack/agent';
import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { compactionTriggerKey, electionKey, endpointStatusKey, legacyElectionKey } from '@calico-openstack/datamodel';
import type { Etcd } from '@calico-openstack/etcd';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { afterEach, expect, test, vi } from 'vitest';
import { deviceId } from '../testing/rows.ts';
import { startElected } from './elected.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const statusKey = (port: string): string =>
  endpointStatusKey(undefined, { host: 'h1', orchestrator: 'openstack', workload: `openstack/${deviceId}`, endpoint: port });

function setUp() {
  const fake = fakeEtcd();
  const clock = fakeClock();
  /** Advances the clock of the candidates and that of etcd. */
  const pass = async (seconds: number): Promise<void> => {
    for (let second = 0; second < seconds; second += 1) {
      await fake.advanceSeconds(1);
      await clock.pass(1000);
    }
  };
  function candidate(name: string, etcd: Etcd = fake.connect()) {
    const looked: string[] = [];
    const anew = vi.fn();
    const { log, entries } = recordingLog();
    const elected = startElected({
      etcd,
      region: undefined,
      candidate: name,
      ports: { look: (port) => looked.push(port), bound: () => {}, vanished: () => {}, freed: () => {}, close: async () => {} },
      agents: { reported: () => {}, close: async () => {} },
      compactionPeriodMinutes: 60,
      compactionMinRevisions: 10,
      onReadAnew: anew,
      log,
      clock,
    });
    closing.push(() => elected.close());
    return { looked, anew, close: () => elected.close(), said: () => entries.map(({ message }) => message) };
  }
  const report = (port: string) => fake.etcd.transact([], [{ put: statusKey(port), value: '{"status":"up"}' }]);
  return { ...fake, pass, candidate, report, clock };
}

test('only the elected driver brings states to Neutron and compacts; when it resigns the other takes over, and looks at everything that is reported', async () => {
  const { pass, candidate, report, contents } = setUp();
  await report('p1');
  const first = candidate('one');
  await pass(1);
  const second = candidate('two');
  await pass(1);
  expect(contents()[electionKey(undefined)]).toBe('one');
  expect(contents()[legacyElectionKey]).toBe('one');
  expect(contents()[compactionTriggerKey]).toBe(String(process.pid));
  await report('p2');
  await pass(1);
  expect([first.looked, second.looked]).toEqual([['p1', 'p2'], []]);
  expect(second.said()).toContain('another driver is elected: this one waits to take its place');
  await first.close();
  await pass(2);
  await report('p3');
  await pass(1);
  expect([first.looked, second.looked]).toEqual([
    ['p1', 'p2'],
    ['p1', 'p2', 'p3'],
  ]);
});

test('who is no longer elected follows no longer, and follows anew when it is elected again', async () => {
  const { etcd, pass, candidate, report } = setUp();
  const driver = candidate('one');
  await pass(1);
  await report('p1');
  await pass(1);
  const seen = driver.looked.length;
  await etcd.transact([], [{ delete: electionKey(undefined) }]);
  await pass(1);
  expect(driver.said()).toContain('no longer elected: another driver writes the states of ports and agents to Neutron');
  await report('p2');
  await pass(70);
  expect(driver.said().filter((msg) => String(msg).startsWith('elected'))).toHaveLength(2);
  expect(driver.looked.slice(seen)).toEqual(['p1', 'p2']); // each once, because nothing of the former term is left
});

test('an etcd that was replaced while it was followed is told of', async () => {
  const { pass, candidate, replace, report } = setUp();
  const driver = candidate('one');
  await report('p1');
  await pass(1);
  replace();
  await pass(80);
  expect(driver.anew).toHaveBeenCalledTimes(1);
});

test('a driver compacts as soon as it is elected', async () => {
  const { etcd, pass, candidate, contents } = setUp();
  await etcd.transact([], [{ put: electionKey(undefined), value: 'a driver of another kind' }]);
  candidate('one');
  await pass(2);
  expect(contents()[compactionTriggerKey]).toBeUndefined();
  await etcd.transact([], [{ delete: electionKey(undefined) }]);
  await pass(2);
  expect(contents()[compactionTriggerKey]).toBe(String(process.pid));
});

test('who closes has resigned when that is done, and leaves no timer', async () => {
  const { pass, candidate, contents, clock } = setUp();
  const driver = candidate('one');
  await pass(1);
  await driver.close();
  expect(contents()[electionKey(undefined)]).toBeUndefined();
  expect(clock.restsMs).toEqual([]);
});

test('closing waits for a compaction that is under way', async () => {
  const { pass, candidate, connect } = setUp();
  const answer = Promise.withResolvers<void>();
  const etcd = connect();
  const slow: Etcd = {
    ...etcd,
    async get(key) {
      if (key === compactionTriggerKey) await answer.promise;
      return etcd.get(key);
    },
  };
  const driver = candidate('one', slow);
  await pass(1);
  const closed = vi.fn();
  const closing = driver.close().then(closed);
  await pass(1);
  expect(closed).not.toHaveBeenCalled();
  answer.resolve();
  await closing;
});
