import { expect, test } from 'vitest';
import { growingPause } from './growing-pause.ts';

test('the pause doubles with each refusal, up to the longest pause', () => {
  const pauseMs = growingPause({ firstMs: 1000, maxMs: 30_000 });
  expect([true, true, true, true, true, true, true].map(pauseMs)).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
});

test('the pause is the first one again after an attempt without refusal', () => {
  const pauseMs = growingPause({ firstMs: 1000, maxMs: 30_000 });
  expect([false, true, true, false, false, true].map(pauseMs)).toEqual([undefined, 1000, 2000, undefined, undefined, 1000]);
});
