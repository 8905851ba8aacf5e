import { test } from 'vitest';
import { routesProperty } from './testing/property.ts';

test('many runs of: whatever happens, and whenever it is reported, our routes end as wanted', async () => {
  await routesProperty(300_000);
});
