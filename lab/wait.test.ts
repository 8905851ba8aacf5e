import { expect, test } from 'vitest';
import { within } from './wait.ts';

test('work that ends in time gives its result or its own error, and work that does not is given up', async () => {
  expect(await within('it', 60_000, Promise.resolve('done'))).toBe('done');
  await expect(within('it', 60_000, Promise.reject(new Error('its own')))).rejects.toThrow('its own');
  await expect(within('"a step"', 5, new Promise(() => {}))).rejects.toThrow('"a step" has not ended within 0.005 s');
});
