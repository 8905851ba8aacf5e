// Tests sets whose elements have limits of their own with real packets.
import { spawnSync } from 'node:child_process';
import { addressBytes } from '@calico-openstack/addresses';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { NftElement, NftSet } from './objects.ts';
import { type OpenTable, openTable } from './table.netlink.ts';
import { makeNamespace, type TestNamespace } from './testing/namespace.ts';
import { bytes, match, rule, verdict } from './testing/values.ts';

let namespace: TestNamespace;
let table: OpenTable;
beforeEach(() => {
  namespace = makeNamespace();
  namespace.ip('link', 'set', 'lo', 'up');
  table = openTable('inet', 'limited', namespace.name);
});
afterEach(() => {
  table.close();
  namespace.remove();
});

/** The rate is one an hour, so that the test does not depend on time. */
const loud: NftSet = { name: 'loud', key: ['ipv4_addr'], limit: { rate: 1, unit: 'hour', burst: 5 } };
const source = (last: number): NftElement => ({ key: addressBytes(`127.0.0.${last}`) });

function want(target: OpenTable = table): void {
  target.setSet(loud, [source(1), source(2)]);
  target.setChain({
    name: 'in',
    hook: { type: 'filter', hook: 'prerouting', priority: -300, policy: 'accept' },
    rules: [rule(match('icmp type', bytes(8)), { is: 'in-set', fields: ['ip saddr'], set: 'loud' }, verdict({ verdict: 'drop' }))],
  });
}

/** Counts how many of 20 echo requests from 127.0.0.`last` are answered. */
function answered(last: number): number {
  const { stdout } = spawnSync('ip', ['netns', 'exec', namespace.name, 'ping', '-c', '20', '-i', '0.002', '-W', '1', '-I', `127.0.0.${last}`, '127.0.0.9'], {
    encoding: 'utf8',
  });
  return Number(/(\d+) received/.exec(stdout)?.[1]);
}

test('each element has its own limit: using one up does not affect the others, and an address without an element has no limit', () => {
  want();
  table.apply();
  expect([answered(1), answered(1), answered(2), answered(3)]).toEqual([5, 0, 5, 20]);
});

test('a used-up limit is not refilled by changes of other elements, a new reading or another programmer; an element that is deleted and added again starts anew', () => {
  want();
  table.apply();
  expect(answered(1)).toBe(5);
  table.addElements('loud', [source(3)]);
  table.apply();
  table.distrust();
  expect(table.apply()).toMatchObject({ operations: 0, resynced: true });
  const next = openTable('inet', 'limited', namespace.name);
  try {
    want(next);
    next.addElements('loud', [source(3)]);
    expect(next.apply()).toMatchObject({ operations: 0, resynced: true });
  } finally {
    next.close();
  }
  expect([answered(1), answered(3)]).toEqual([0, 5]);
  table.removeElements('loud', [source(1)]);
  table.apply();
  expect(answered(1)).toBe(20);
  table.addElements('loud', [source(1)]);
  table.apply();
  expect(answered(1)).toBe(5);
});

test('a set with another limit is recreated in one transaction, with its elements', () => {
  want();
  table.apply();
  table.setSet({ ...loud, limit: { rate: 1, unit: 'hour', burst: 7 } }, [source(1), source(2)]);
  table.apply();
  expect([answered(1), answered(2)]).toEqual([7, 7]);
});

test('an element whose limit another program has changed gets its own back', () => {
  want();
  table.apply();
  namespace.nft(
    ['-f', '-'],
    'delete element inet limited loud { 127.0.0.1 }; add element inet limited loud { 127.0.0.1 limit rate over 1/hour burst 9 packets }',
  );
  table.distrust();
  table.apply();
  expect(answered(1)).toBe(5);
});
