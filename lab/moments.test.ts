import { expect, test } from 'vitest';
import { steadyMoments } from './moments.ts';

test('a moment that is told a little otherwise is told as before, by its place in the text; another one is told as it is', () => {
  const steady = steadyMoments();
  expect(steady('a', 'mesh up 14:05:36.080\nkernel up 14:05:35.112')).toBe('mesh up 14:05:36.080\nkernel up 14:05:35.112');
  expect(steady('a', 'mesh up 14:05:36.081\nkernel up 14:05:35.111')).toBe('mesh up 14:05:36.080\nkernel up 14:05:35.112');
  expect(steady('a', 'mesh up 14:05:36.180\nkernel down 14:05:35.112')).toBe('mesh up 14:05:36.180\nkernel down 14:05:35.112');
  expect(steady('b', 'mesh up 14:05:36.081')).toBe('mesh up 14:05:36.081');
});
