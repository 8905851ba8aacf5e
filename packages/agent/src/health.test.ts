import { expect, test } from 'vitest';
import { createHealth } from './health.ts';

test('an agent is ready when every component is, and not when one has gone silent', () => {
  let nowMs = 0;
  const health = createHealth(() => nowMs);
  const loop = health.register('Loop', 1000);
  const start = health.register('Start');
  expect([health.live, health.ready]).toEqual([true, false]);
  start.report({ live: true, ready: true });
  loop.report({ live: true, ready: true, detail: 'turning' });
  nowMs = 1000;
  expect([health.live, health.ready]).toEqual([true, true]);
  expect(health.table().split('\n')[1]).toMatch(/^Loop +\| 1s +\| reporting live +\| reporting ready +\| turning$/);
  nowMs = 1001;
  expect([health.live, health.ready]).toEqual([false, false]);
  expect(health.table()).toContain('timed out');
});
