import { hostname } from 'node:os';
import { expect, test, vi } from 'vitest';
import { recordingLog } from '../log.ts';
import { startNamesakeWarnings, systemHostName } from './host-name.ts';

test('the system’s host name is taken in lower case', () => expect(systemHostName()).toBe(hostname().trim().toLowerCase()));

/** Gives these answers in turn, and then the last one for ever. Undefined means that etcd does not answer. */
function watch(...answers: readonly ({ own: boolean; others: string[] } | undefined)[]) {
  const { log, entries } = recordingLog();
  let looks = 0;
  const watching = startNamesakeWarnings(
    {
      host: 'compute-1',
      option: 'Hostname in a.cfg',
      log,
      async look() {
        const answer = answers[Math.min(looks, answers.length - 1)];
        looks += 1;
        if (!answer) throw new Error('away');
        return answer;
      },
    },
    1,
  );
  return { watching, looks: () => looks, warnings: () => entries.filter(({ severity }) => severity === 'WARNING') };
}

test('another name is reported once, with the option to set, however often it is found', async () => {
  const { watching, looks, warnings } = watch({ own: false, others: ['Compute-1'] });
  await vi.waitFor(() => expect(looks()).toBeGreaterThan(3));
  watching.close();
  expect(warnings()).toMatchObject([
    { fields: { host: 'compute-1', other: 'Compute-1' }, message: expect.stringContaining('set Hostname in a.cfg to that name') },
  ]);
});

test('a name that comes later, and one that comes while etcd was away, are found', async () => {
  const { watching, warnings } = watch(undefined, { own: false, others: [] }, { own: false, others: ['compute-1.example.org'] });
  await vi.waitFor(() => expect(warnings()).toMatchObject([{ fields: { other: 'compute-1.example.org' } }]));
  watching.close();
});

test('once the host has endpoints of its own, nothing is looked for any more', async () => {
  const { looks } = watch({ own: false, others: [] }, { own: true, others: [] });
  await vi.waitFor(() => expect(looks()).toBe(2));
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(looks()).toBe(2);
});
