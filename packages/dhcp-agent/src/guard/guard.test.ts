import { type Loop, recordingLog } from '@calico-openstack/agent';
import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { fakeTable } from '@calico-openstack/kernel/nftables/table.fake';
import { afterEach, expect, test } from 'vitest';
import { startTableKeeper } from './guard.ts';
import { guardChains } from './rules.ts';

const closing: Loop[] = [];
afterEach(async () => {
  for (const loop of closing.splice(0)) await loop.close();
});

function setUp() {
  const clock = fakeClock();
  const { log, entries } = recordingLog();
  const { table, kernel } = fakeTable('inet', 'calico-dhcp-agent');
  for (const chain of guardChains) table.setChain(chain);
  table.apply();
  const state = { isGone: false, applies: 0, refuse: false };
  const loop = startTableKeeper({
    table: {
      exists: () => !state.isGone,
      distrust: () => table.distrust(),
      apply() {
        state.applies += 1;
        if (state.refuse) throw new Error('EBUSY');
        table.apply();
        state.isGone = false;
      },
    },
    log,
    clock,
  });
  closing.push(loop);
  return { clock, loop, state, kernel, said: (msg: string) => entries.flatMap(({ message, fields }) => (message.startsWith(msg) ? [fields] : [])) };
}

test('a table that somebody removes is reinstalled at once, and that is logged', async () => {
  const { clock, loop, state, said } = setUp();
  await clock.pass(10_000);
  expect(state.applies).toBe(0); // the table exists already
  state.isGone = true;
  loop.wake();
  await clock.pass(0);
  expect([state.applies, state.isGone]).toEqual([1, false]);
  expect(said('another program removed the nftables table')).toHaveLength(1);
});

test('the whole table is compared once a minute, whatever woke the loop meanwhile, and a minute after it was reinstalled', async () => {
  const { clock, loop, state } = setUp();
  await clock.pass(30_000);
  loop.wake();
  await clock.pass(29_999);
  expect(state.applies).toBe(0);
  await clock.pass(1);
  expect(state.applies).toBe(1);
  await clock.pass(10_000);
  state.isGone = true;
  loop.wake();
  await clock.pass(59_999);
  expect(state.applies).toBe(2);
  await clock.pass(1);
  expect(state.applies).toBe(3);
});

test('rules that the kernel refuses are retried at growing pauses, until they are installed', async () => {
  const { clock, loop, state, said } = setUp();
  state.isGone = true;
  state.refuse = true;
  loop.wake();
  await clock.pass(1000);
  expect(state.applies).toBeGreaterThan(2);
  expect(said('cannot install the nftables table that keeps guests’ DHCP apart').map((entry) => entry['failures'])).toEqual(
    Array.from({ length: state.applies }, (_, index) => index + 1),
  );
  state.refuse = false;
  await clock.pass(10_000);
  expect(state.isGone).toBe(false);
});
