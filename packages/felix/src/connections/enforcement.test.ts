import type { IpAddress } from '@calico-openstack/addresses';
import { type LogEntry, type Logger, recordingLog } from '@calico-openstack/agent';
import { type FakeClock, fakeClock } from '@calico-openstack/agent/fake-clock';
import type { Conntrack, FlowRecord } from '@calico-openstack/kernel';
import { beforeEach, expect, test } from 'vitest';
import { type Enforcement, startEnforcement } from './enforcement.ts';

const [one, two, three] = ['10.0.0.1', '10.0.0.2', '10.0.0.3'] as IpAddress[] as [IpAddress, IpAddress, IpAddress];
let clock: FakeClock;
let log: Logger;
let entries: LogEntry[];
/** The addresses whose connections were reviewed, and when each review began. */
let looks: (readonly [string, number])[];
/** The outcome of each review: how long it takes, or why it fails. */
let next: (number | Error)[];
let judges: number;
/** How many connections each review finds. */
let flows: number;
let enforcement: Enforcement;

beforeEach(() => {
  clock = fakeClock();
  ({ log, entries } = recordingLog());
  [looks, next, judges, flows] = [[], [], 0, 2];
  const reviewFlows: Conntrack['reviewFlows'] = async (of, review) => {
    looks.push([of === 'all' ? 'all' : [...of].sort().join(), clock.steadyMs()]);
    const how = next.shift() ?? 0;
    if (how instanceof Error) throw how;
    for (let each = 0; each < flows; each += 1) review({} as FlowRecord);
    await clock.pause(how);
    for (let each = 0; each < flows; each += 1) review({} as FlowRecord);
    return { deleted: 0, marked: 0, seen: 2 * flows };
  };
  const judge = () => {
    judges += 1;
    return () => undefined;
  };
  enforcement = startEnforcement({ reviewFlows }, judge, log, clock);
});
const enforce = (...addresses: readonly IpAddress[]) => enforcement.enforce(new Set(addresses));

test('a change is looked into at once, and nothing is looked at without one', async () => {
  enforce();
  await clock.pass(10_000);
  expect(looks).toEqual([]);
  enforce(one);
  await clock.pass(0);
  expect(looks).toEqual([[one, 10_000]]);
});

test('changes that come during a look share the next one, by rules as they are then', async () => {
  next = [100];
  enforce(one);
  await clock.pass(50);
  enforce(two);
  enforce(three);
  await clock.pass(1000);
  expect(looks.map(([of]) => of)).toEqual([one, `${two},${three}`]);
  expect(judges).toBe(2);
});

test('a connection that a review finds after a change is judged by the rules as they are then', async () => {
  next = [100];
  enforce(one);
  await clock.pass(50);
  expect(judges).toBe(1);
  enforce();
  await clock.pass(1000);
  expect([looks.length, judges]).toEqual([1, 2]);
});

test('a review that finds no connection does not look through the rules', async () => {
  flows = 0;
  enforce(one);
  await clock.pass(0);
  expect([looks.length, judges]).toEqual([1, 0]);
});

test('between two looks the host has twice the time of a look, and not more than 400 ms', async () => {
  next = [100, 5000];
  enforce(one);
  await clock.pass(1);
  enforce(two);
  await clock.pass(298);
  expect(looks).toHaveLength(1);
  await clock.pass(1);
  expect(looks).toEqual([
    [one, 0],
    [two, 300],
  ]);
  enforce(three);
  await clock.pass(10_000);
  expect(looks[2]).toEqual([three, 5700]);
});

test('a look that fails is tried again at growing pauses, with what it was about and what came since, and told once', async () => {
  next = Array.from({ length: 6 }, () => new Error('ENOBUFS'));
  enforce(one);
  await clock.pass(0);
  enforce(two);
  await clock.pass(60_000);
  expect(looks).toHaveLength(7);
  expect(looks.slice(1).map(([of]) => of)).toEqual(Array(6).fill(`${one},${two}`));
  const gapsMs = looks.slice(1).map(([, atMs], index) => atMs - looks[index]![1]);
  for (const [index, gapMs] of gapsMs.entries()) {
    expect(gapMs).toBeGreaterThanOrEqual((200 * 2 ** index) / 2);
    expect(gapMs).toBeLessThanOrEqual(200 * 2 ** index);
  }
  expect(entries.filter(({ severity }) => severity === 'ERROR')).toHaveLength(1);
});

test('when all are concerned, that is not forgotten for a few', async () => {
  next = [new Error('ENOBUFS')];
  enforcement.enforce('all');
  await clock.pass(0);
  enforce(one);
  await clock.pass(1000);
  expect(looks.map(([of]) => of)).toEqual(['all', 'all']);
});

test('what is closed looks no more', async () => {
  next = [new Error('ENOBUFS')];
  enforce(one);
  await clock.pass(0);
  enforcement.close();
  await clock.pass(60_000);
  expect(looks).toHaveLength(1);
});
