import { recordingLog } from '@calico-openstack/agent';
import { fakeClock } from '@calico-openstack/agent/fake-clock';
import type { Flow } from '@calico-openstack/kernel';
import { fakeConntrack } from '@calico-openstack/kernel/conntrack/fake';
import { fakeOpenTable } from '@calico-openstack/kernel/nftables/table.fake';
import { applyEdits, baseTables, type ConnectionStamps, defaultRenderOptions } from '@calico-openstack/render';
import { expect, test } from 'vitest';
import { createStamping } from './stamping.ts';
import { leaveEarlierRules } from './testing/fake-kernel.ts';

const stamps = { egress: 0x40000, ingress: 0x80000 };
const others = { egress: 0x100000, ingress: 0x200000 };
const overlapping = { egress: 0x80000, ingress: 0x100000 };
const flow = (mark: number): Flow => {
  const original = { protocol: 17, source: '10.0.0.1', destination: '10.0.0.2', sourcePort: 1, destinationPort: 2 };
  const reply = { protocol: 17, source: '10.0.0.2', destination: '10.0.0.1', sourcePort: 2, destinationPort: 1 };
  return { family: 4, zone: 0, original, reply, ...(mark && { mark }) } as Flow;
};

/** @param earlier what an earlier run has left: rules that require these stamps, rules without stamps, or no rules */
function world({
  earlier,
  otherPolices = false,
  marks = [0],
}: {
  earlier?: ConnectionStamps | 'unstamped';
  otherPolices?: boolean;
  marks?: readonly number[];
}) {
  const [inet, arp] = [fakeOpenTable('inet', 'calico-felix'), fakeOpenTable('arp', 'calico-felix')];
  const tables = { inet: inet.table, arp: arp.table };
  if (earlier === 'unstamped') leaveEarlierRules(inet.kernel, 'inet');
  else if (earlier) {
    applyEdits(tables, baseTables({ ...defaultRenderOptions, stamps: earlier }));
    tables.inet.apply();
  }
  const conntrack = fakeConntrack(marks.map(flow));
  const clock = fakeClock();
  const { log, entries } = recordingLog();
  const failures: Error[] = [];
  const passes: number[] = [];
  const { markFlows } = conntrack;
  const watched = {
    ...conntrack,
    async markFlows(mask: number, next: (mark: number) => number) {
      passes.push(clock.steadyMs());
      const failure = failures.shift();
      if (failure) throw failure;
      return markFlows(mask, next);
    },
  };
  const stamping = createStamping({ tables, conntrack: watched }, stamps, otherPolices, log, clock);
  let changes = 0;
  stamping.onChange(() => {
    changes += 1;
  });
  return {
    stamping,
    clock,
    failures,
    passes,
    entries,
    changes: () => changes,
    marks: () => conntrack.tracked.map(({ mark = 0 }) => mark),
    async inForce() {
      stamping.rulesInForce();
      await clock.pass(0);
    },
  };
}

test.each([
  ['rules of ours that ask for no stamps', { earlier: 'unstamped' }],
  ['another Felix’s rules', { otherPolices: true }],
] as const)('where %s stood, everything is let through until all connections are stamped, and then stamps are asked for', async (_, earlier) => {
  const w = world({ ...earlier, marks: [0, 1] });
  expect(w.stamping.options).toEqual({ stamps, unstamped: 'pass' });
  expect(w.passes).toEqual([]);
  await w.inForce();
  expect(w.marks()).toEqual([0xc0000, 0xc0001]);
  expect([w.stamping.options.unstamped, w.changes()]).toEqual(['judge', 1]);
  await w.inForce();
  expect([w.passes.length, w.changes()]).toEqual([1, 1]);
});

test.each([
  ['no rules stood', {}],
  ['rules that ask for these stamps stood', { earlier: stamps }],
] as const)('where %s, nothing is stamped but by policy', async (_, earlier) => {
  const w = world(earlier);
  expect(w.stamping.options).toEqual({ stamps, unstamped: 'judge' });
  await w.inForce();
  expect([w.marks(), w.passes]).toEqual([[0], []]);
});

test('connections that cannot be stamped are tried again at growing pauses, told once, and until then the rules stay as they were', async () => {
  const w = world({ earlier: 'unstamped' });
  w.failures.push(...Array.from({ length: 3 }, () => new Error('ENOBUFS')));
  await w.inForce();
  w.stamping.rulesInForce(); // while the first pass is running
  await w.clock.pass(200);
  expect([w.stamping.options.unstamped, w.passes]).toEqual(['pass', [0]]);
  await w.clock.pass(10_000);
  expect(w.stamping.options.unstamped).toBe('judge');
  expect(w.passes).toHaveLength(4);
  for (const [index, atMs] of w.passes.slice(1).entries()) {
    expect(atMs - w.passes[index]!).toBeGreaterThanOrEqual(250 * 2 ** index);
    expect(atMs - w.passes[index]!).toBeLessThanOrEqual(500 * 2 ** index);
  }
  expect(w.entries.filter(({ severity }) => severity === 'ERROR')).toHaveLength(1);
});

test('when somebody takes our rules away before all connections are stamped, those without a stamp are judged, and no more get one', async () => {
  const w = world({ earlier: 'unstamped' });
  w.failures.push(new Error('ENOBUFS'));
  await w.inForce();
  w.stamping.rulesGone();
  expect([w.stamping.options.unstamped, w.changes()]).toEqual(['judge', 1]);
  await w.clock.pass(60_000);
  expect([w.marks(), w.passes.length]).toEqual([[0], 1]);
});

test('other bits are given before they are asked for, and once more to what began in between', async () => {
  const w = world({ earlier: others, marks: [others.egress, others.ingress, 0] });
  expect(w.stamping.options).toEqual({ stamps: others, unstamped: 'judge' });
  await w.inForce();
  expect(w.marks()).toEqual([others.egress | stamps.egress, others.ingress | stamps.ingress, 0]);
  expect([w.stamping.options.stamps, w.changes()]).toEqual([stamps, 1]);
  await w.inForce();
  expect(w.marks()).toEqual([stamps.egress, stamps.ingress, 0]);
  await w.inForce();
  expect(w.passes).toHaveLength(2);
});

test('bits that would mean two things lose their old meaning, and policy judges anew', async () => {
  const w = world({ earlier: overlapping, marks: [overlapping.egress, overlapping.ingress] });
  await w.inForce();
  expect([w.marks(), w.stamping.options.stamps]).toEqual([[overlapping.egress, overlapping.ingress], stamps]);
  await w.inForce();
  expect(w.marks()).toEqual([0, 0]);
});

test('bits that the operator wants later are changed like those of an earlier run', async () => {
  const w = world({ earlier: stamps, marks: [stamps.egress] });
  w.stamping.want(others);
  await w.inForce();
  expect([w.marks(), w.stamping.options.stamps]).toEqual([[stamps.egress | others.egress], others]);
});

test('what is closed stamps nothing more, and tells of nothing', async () => {
  const w = world({ earlier: 'unstamped' });
  w.failures.push(new Error('ENOBUFS'));
  await w.inForce();
  w.stamping.close();
  await w.clock.pass(60_000);
  expect([w.passes.length, w.changes(), w.stamping.options.unstamped]).toEqual([1, 0, 'pass']);
});

test('no bit of an earlier run is left, the lowest included', async () => {
  const lowest = world({ earlier: { egress: 1, ingress: 2 }, marks: [1, 2, 0] });
  await lowest.inForce();
  await lowest.inForce();
  expect(lowest.marks()).toEqual([stamps.egress, stamps.ingress, 0]);
  const twoMeanings = world({ earlier: { egress: stamps.ingress, ingress: 1 }, marks: [stamps.ingress, 1] });
  await twoMeanings.inForce();
  await twoMeanings.inForce();
  expect(twoMeanings.marks()).toEqual([0, 0]);
});

test('bits that could not be given before the end are not asked for', async () => {
  const w = world({ earlier: others, marks: [others.egress] });
  w.failures.push(new Error('ENOBUFS'));
  await w.inForce();
  w.stamping.close();
  await w.clock.pass(60_000);
  expect([w.stamping.options.stamps, w.changes()]).toEqual([others, 0]);
});

test('what began in between is stamped before anything else is begun, however often that fails', async () => {
  const w = world({ earlier: others, marks: [others.egress] });
  await w.inForce();
  w.failures.push(new Error('ENOBUFS'));
  await w.inForce();
  expect([w.passes.length, w.changes()]).toEqual([2, 1]);
  w.stamping.want(others);
  await w.inForce(); // while the pass waits to be tried again
  expect([w.passes.length, w.changes()]).toEqual([2, 1]);
  await w.clock.pass(60_000);
  expect(w.changes()).toBe(2);
});

test('rules that somebody takes away when all connections are stamped are no news', async () => {
  const w = world({});
  w.stamping.rulesGone();
  expect([w.changes(), w.entries]).toEqual([0, []]);
});
