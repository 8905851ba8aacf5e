import { expect, test } from 'vitest';
import { Registry } from './metrics.ts';
import { addProcessMetrics } from './process-metrics.ts';

test('a turn of the event loop that holds everything else up is measured, from the first question on', async () => {
  const registry = new Registry();
  addProcessMetrics(registry);
  const longestTurnMs = async (): Promise<number> => 1000 * Number(/^nodejs_eventloop_lag_max_seconds (.*)$/m.exec(await registry.metrics())![1]);
  const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 50));
  expect(await longestTurnMs()).toBe(0);
  await turn();
  const endMs = performance.now() + 300;
  while (performance.now() < endMs);
  await turn();
  expect(await longestTurnMs()).toBeGreaterThan(200);
});
