import { test } from 'vitest';
import { anyOrderEndsAsTheRowsSay } from '../testing/interleavings.ts';

test('whatever the order of steps, announcements, reads and writes, and whichever daemons get the announcements, and how often, etcd ends as the rows say', () =>
  anyOrderEndsAsTheRowsSay(100_000));
