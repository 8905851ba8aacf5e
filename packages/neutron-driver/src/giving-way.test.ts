import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { expect, test } from 'vitest';
import { GivingWay } from './giving-way.ts';

test('a resync rests after each step while users change something, three times as long as the step took, and not at all otherwise', async () => {
  const clock = fakeClock();
  const givingWay = new GivingWay(clock);
  const turn = givingWay.turns();
  /** How long the next turn is waited for. */
  const waitedMs = async (): Promise<number> => {
    const sinceMs = clock.steadyMs();
    const waiting = turn();
    await clock.pass(0);
    await clock.pass(clock.restsMs[0] ?? 0);
    await waiting;
    return clock.steadyMs() - sinceMs;
  };
  await clock.pass(200);
  expect(await waitedMs()).toBe(0);
  await clock.pass(200);
  givingWay.announced();
  expect(await waitedMs()).toBe(600);
  await clock.pass(100);
  expect(await waitedMs()).toBe(300);
  await clock.pass(100);
  expect(await waitedMs()).toBe(0); // the last change was announced more than a second ago
});
