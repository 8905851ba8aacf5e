import { expect, test } from 'vitest';
import { steadyMoments } from './moments.ts';

test('a time that is shown a little differently keeps its earlier text, by its place in the output; a different time is shown as it is', () => {
  const steady = steadyMoments();
  expect(steady('a', 'mesh up 14:05:36.080\nkernel up 14:05:35.112')).toBe('mesh up 14:05:36.080\nkernel up 14:05:35.112');
  expect(steady('a', 'mesh up 14:05:36.081\nkernel up 14:05:35.111')).toBe('mesh up 14:05:36.080\nkernel up 14:05:35.112');
  expect(steady('a', 'mesh up 14:05:36.980\nkernel down 14:05:35.112')).toBe('mesh up 14:05:36.980\nkernel down 14:05:35.112');
  expect(steady('b', 'mesh up 14:05:36.081')).toBe('mesh up 14:05:36.081');
});
