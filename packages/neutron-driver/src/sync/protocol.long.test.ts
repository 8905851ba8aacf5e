import { test } from 'vitest';
import { anyOrderEndsAsTheRowsSay } from '../testing/interleavings.ts';

test('whatever the order of steps, announcements, reads and writes, and however often each is told to which daemon, etcd ends as the rows say', () =>
  anyOrderEndsAsTheRowsSay(100_000));
