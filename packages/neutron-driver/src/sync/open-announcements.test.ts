import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { expect, test } from 'vitest';
import { longestCommitMs } from './journal.ts';
import { OpenAnnouncements } from './open-announcements.ts';

const found = (key: string) => new Map([[key, undefined]]);

test('the last announcement that read etcd counts, and what it read is given out once', () => {
  const open = new OpenAnnouncements<string>(fakeClock());
  open.add('a worker', ['first'], found('first'));
  open.add('a worker', ['second', 'other'], found('second'));
  open.add('a worker', ['third'], undefined);
  expect(open.end(['first', 'second', 'third', 'unknown'])).toEqual(found('second'));
  expect(open.end(['first', 'second', 'third'])).toBeUndefined();
  expect(open.end(['other'])).toEqual(found('second'));
  expect(open.size).toBe(0);
});

test('who goes takes their own announcements along', () => {
  const open = new OpenAnnouncements<string>(fakeClock());
  open.add('a worker', ['m', 'n'], undefined);
  open.add('another', ['o'], found('o'));
  expect(open.abandon('a worker')).toEqual(['m', 'n']);
  expect([open.abandon('a worker'), open.size]).toEqual([[], 1]);
  expect(open.end(['o'])).toEqual(found('o'));
});

test('what Neutron has rolled back is forgotten', async () => {
  const clock = fakeClock();
  const open = new OpenAnnouncements<string>(clock);
  open.add('a worker', ['m'], found('m'));
  await clock.pass(1);
  open.add('a worker', ['n'], found('n'));
  await clock.pass(longestCommitMs - 1);
  open.add('a worker', ['o'], found('o'));
  expect(open.size).toBe(2);
  expect([open.end(['m']), open.end(['n'])]).toEqual([undefined, found('n')]);
});
