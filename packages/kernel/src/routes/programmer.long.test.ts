import { test } from 'vitest';
import { routesProperty } from './testing/property.ts';

test('whatever anybody does, and whenever it is told, in the end our routes are what is wanted: many more times', async () => {
  await routesProperty(300_000);
});
