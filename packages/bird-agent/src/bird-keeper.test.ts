import { type Report, recordingLog } from '@calico-openstack/agent';
import { expect, test } from 'vitest';
import { BirdError, type BirdErrorCode } from './bird/control.ts';
import { birdKeeper } from './bird-keeper.ts';
import { troubleTeller } from './trouble.ts';

/** A host whose BIRD answers, or is away for this reason. `file` is BIRD's configuration. */
function setUp({ isStarter = true, file = 'define calico_revision = "1";\n' as string | null, error = undefined as Error | undefined } = {}) {
  const { log, entries } = recordingLog();
  const reports: Report[] = [];
  const done: string[] = [];
  const keeper = birdKeeper({
    isStarter,
    file: {
      async read() {
        done.push('read');
        return file === null ? undefined : { parts: [Buffer.from(file)] };
      },
    },
    async control() {
      done.push('connect');
      if (error) throw error;
      return {} as never;
    },
    health: { report: (report) => void reports.push(report) },
    trouble: troubleTeller(),
    log,
  });
  return { keeper, reports, done, said: () => entries.filter(({ severity }) => severity === 'WARNING').length };
}

test('an agent that does not start BIRD leaves it alone', async () => {
  const { keeper, done } = setUp({ isStarter: false });
  expect([await keeper.keep(), done]).toEqual(['kept', []]);
});

test.each([
  { what: 'no configuration', file: null },
  { what: 'a configuration that somebody else wrote', file: '# calico_revision\n' },
])('BIRD is not started with $what', async ({ file }) => {
  const { keeper, done } = setUp({ file });
  expect([await keeper.keep(), done]).toEqual(['kept', ['read']]);
});

test('BIRD is started with the agent’s former configuration', async () => {
  const { keeper, done, reports } = setUp();
  expect([await keeper.keep(), done, reports]).toEqual(['kept', ['read', 'connect'], []]);
});

test.each<BirdErrorCode>(['BIRD_AWAY', 'BIRD_START_FAILED'])(
  'a BIRD that is away is no fault: the agent is live and not ready, and it is logged once (%s)',
  async (code) => {
    const { keeper, reports, said } = setUp({ error: new BirdError(code, 'no socket') });
    expect([await keeper.keep(), await keeper.keep()]).toEqual(['away', 'away']);
    expect(reports).toEqual(Array.from({ length: 2 }, () => ({ live: true, ready: false, detail: 'no socket' })));
    expect(said()).toBe(1);
  },
);

test.each([new BirdError('BIRD_PROTOCOL', 'nonsense'), new Error('a fault')])('any other error is not taken for it: $message', async (error) => {
  const { keeper, reports } = setUp({ error });
  await expect(keeper.keep()).rejects.toBe(error);
  expect(reports).toEqual([]);
});
