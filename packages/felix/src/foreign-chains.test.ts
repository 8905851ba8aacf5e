// The search on chains of other programs that the test makes up. other-chains.system.test.ts (kernel) has real ones.
import { recordingLog } from '@calico-openstack/agent';
import { fakeClock } from '@calico-openstack/agent/fake-clock';
import type { OtherChains } from '@calico-openstack/kernel';
import { expect, test } from 'vitest';
import { startForeignChains } from './foreign-chains.ts';

const text = (bytes: Uint8Array | undefined): string =>
  Buffer.from(bytes ?? [])
    .toString()
    .replace(/\0+$/, '');
const none: OtherChains = { dropping: () => undefined, linkNames: [], compareIndices: false };
const chain = { family: 'ip', table: 'filter', chain: 'FORWARD', hook: 'forward' } as const;

/** A search that reads `readings` in turn, and the last one from then on. An error is thrown. */
async function world(...readings: readonly (OtherChains | Promise<OtherChains> | Error)[]) {
  const clock = fakeClock();
  const { log, entries } = recordingLog();
  let [reads, changes, dropping] = [0, 0, 0];
  const search = startForeignChains({
    read: async () => {
      const reading = readings[Math.min(reads, readings.length - 1)]!;
      reads += 1;
      if (reading instanceof Error) throw reading;
      return reading;
    },
    uplinks: () => ['eth0'],
    link: () => ({ index: 7 }),
    metrics: { droppingChains: { set: (value: number) => (dropping = value) } as never },
    log,
    clock,
    onChange: () => (changes += 1),
  });
  await clock.pass(0);
  return {
    search,
    clock,
    reads: () => reads,
    changes: () => changes,
    dropping: () => dropping,
    said: (part: string) => entries.filter(({ message }) => message.includes(part)).length,
  };
}
/** Chains that drop packets with these properties. */
const dropping = (
  drops: (packet: { in: string; out: string; family: number; port: string }) => boolean,
  linkNames: readonly Uint8Array[] = [],
): OtherChains => ({
  ...none,
  linkNames,
  dropping: (_, family, { iifname = [], oifname = [], dport = [] }) =>
    drops({ in: iifname.map(text).join(), out: oifname.map(text).join(), family, port: Buffer.from(dport[0] ?? []).toString('hex') }) ? chain : undefined,
});

test('nothing is in the way before the first reading, and nothing where no chain drops', async () => {
  const { search, changes } = await world(none);
  expect(search.obstacleOf('tap1', true)).toBeUndefined();
  expect(changes()).toBe(1);
});

test.each([
  ['what goes out', dropping((packet) => packet.in === 'tap1' && packet.out === 'eth0'), false, 'drops what workloads send over IPv4'],
  ['what comes in', dropping((packet) => packet.in === 'eth0' && packet.out === 'tap1'), false, 'drops what is sent to workloads over IPv4'],
  ['IPv6', dropping((packet) => packet.family === 6 && packet.out === 'eth0'), true, 'over IPv6'],
])('a chain that drops %s is in the way, and is logged once', async (_, chains, ipv6, sentence) => {
  const { search, said, dropping: count } = await world(chains);
  expect(search.obstacleOf('tap1', ipv6)).toContain(`chain FORWARD of table ip filter`);
  expect(search.obstacleOf('tap1', ipv6)).toContain(sentence);
  expect([said('a chain of another program drops'), count()]).toEqual([1, 1]);
});

test('a chain that drops IPv6 is no matter of workloads without it', async () => {
  const { search } = await world(dropping(({ family }) => family === 6));
  expect(search.obstacleOf('tap1', false)).toBeUndefined();
});

test('a chain that drops DHCP requests is told, and is not in the way', async () => {
  const { search, said, dropping: count } = await world(dropping(({ port }) => port === '0043'));
  expect(search.obstacleOf('tap1', false)).toBeUndefined();
  expect([said('a chain of another program drops'), count()]).toEqual([1, 1]);
});

test('interfaces that rules tell apart have answers of their own', async () => {
  const { search } = await world(dropping((packet) => packet.in === 'tap2', [Buffer.from('tap2\0')]));
  expect(search.obstacleOf('tap1', false)).toBeUndefined();
  expect(search.obstacleOf('tap2', false)).toBeDefined();
});

test('they are read again when others changed rules, at most one time in twenty, and what went on dropping is not told again', async () => {
  const chains = dropping(({ out }) => out === 'eth0');
  const { search, clock, reads, said, changes, dropping: count } = await world(chains, chains, none);
  search.obstacleOf('tap1', false);
  for (let change = 0; change < 5; change += 1) search.lookAgain();
  await clock.pass(0);
  expect(reads()).toBe(1);
  await clock.pass(200);
  expect([reads(), changes()]).toEqual([2, 2]);
  search.obstacleOf('tap1', false);
  expect([said('a chain of another program drops'), count()]).toEqual([1, 1]);
  search.lookAgain();
  await clock.pass(200);
  expect(search.obstacleOf('tap1', false)).toBeUndefined();
  expect(count()).toBe(0);
});

test('a reading that took long is followed by another one after five seconds', async () => {
  const slow = Promise.withResolvers<OtherChains>();
  const { search, clock, reads } = await world(slow.promise, none);
  await clock.pass(10_000);
  slow.resolve(none);
  await clock.pass(0);
  search.lookAgain();
  await clock.pass(4999);
  expect(reads()).toBe(1);
  await clock.pass(1);
  expect(reads()).toBe(2);
});

test('a reading that fails is told and retried', async () => {
  const { search, clock, said } = await world(
    new Error('EPERM'),
    dropping(() => true),
  );
  expect(said('cannot read the chains')).toBe(1);
  await clock.pass(10_000);
  expect(search.obstacleOf('tap1', false)).toBeDefined();
});
