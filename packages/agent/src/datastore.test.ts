import { expect, test } from 'vitest';
import { heartbeatFailed, takeEach, tellUnreadable } from './datastore.ts';
import { recordingLog } from './log.ts';

test('a change that cannot be taken in counts as a deletion, hinders no other, and is told', () => {
  const value = Uint8Array.of(1);
  const held = new Map([['/b', value]]);
  const faults: unknown[] = [];
  const fault = new Error('x');
  const changes = ['/a', '/b', '/c'].map((key) => ({ key, value }));
  const count = takeEach(
    changes,
    (change) => {
      if (change.value === undefined) held.delete(change.key);
      else if (change.key === '/b') throw fault;
      else held.set(change.key, change.value);
    },
    (error, key) => faults.push([key, error]),
  );
  expect([[...held.keys()], faults, count]).toEqual([['/a', '/c'], [['/b', fault]], 1]);
});

test('a deletion that cannot be taken in ends', () => {
  const faults: unknown[] = [];
  const fail = (): void => {
    throw new Error('x');
  };
  takeEach([{ key: '/a', value: Uint8Array.of(1) }], fail, (_, key) => faults.push(key));
  expect(faults).toEqual(['/a', '/a']);
});

test('keys that are no UTF-8 are told when the first comes and when the last has gone', () => {
  const { log, entries } = recordingLog();
  const tell = tellUnreadable(log);
  for (const keys of [3, 4, 0, 1]) tell(keys, '/a/\\xff');
  expect(entries.map(({ fields }) => fields['keys'])).toEqual([3, undefined, 1]);
});

test('of heartbeats in a row that cannot be written the first is logged', () => {
  const { log, entries } = recordingLog();
  const failed = heartbeatFailed(log, 'BIRD agent');
  for (const failures of [1, 2, 3, 1]) failed(new Error('away'), failures);
  expect(entries.map(({ severity, message }) => `${severity} ${message.slice(0, 84)}`)).toEqual(
    Array.from({ length: 2 }, () => 'WARNING the heartbeat cannot be written to etcd, so Neutron shows this BIRD agent as dead; r'),
  );
});
