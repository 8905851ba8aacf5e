import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { expect, test } from 'vitest';
import { noRows, noRowsQuestion } from './rows.ts';
import { createBackgroundSources } from './sources.ts';
import { type Peer, WireError } from './wire/peer.ts';

const peer = (pid: number, answer: () => Promise<unknown>): Peer & { readonly closed: boolean } => {
  const state = {
    role: 'rows' as const,
    pid,
    gone: false,
    closed: false,
    call: answer,
    close: () => {
      state.closed = true;
    },
  };
  return state;
};

test('a question waits for a rows process to connect; without one it fails with the remedy', async () => {
  const sources = createBackgroundSources(1000, 1000);
  const asked = sources.source.rows(noRowsQuestion);
  sources.add(peer(1, async () => noRows));
  expect(await asked).toEqual(noRows);
  const impatient = createBackgroundSources(1000, 0);
  await expect(impatient.source.rows(noRowsQuestion)).rejects.toMatchObject({
    code: 'NO_ROWS_PROCESS',
    message: expect.stringMatching(/calico_openstack.rows_process/),
  });
});

test('a rows process that does not answer is disconnected; one whose database is away is not', async () => {
  const sources = createBackgroundSources(1000, 0);
  const hanging = peer(1, () => Promise.reject(new WireError('PEER_TIMEOUT', 'no answer')));
  sources.add(hanging);
  await expect(sources.source.rows(noRowsQuestion)).rejects.toThrow('no answer');
  expect(hanging.closed).toBe(true);
  sources.remove(hanging);
  const poor = peer(2, () => Promise.reject(new WireError('DBConnectionError', 'gone away')));
  sources.add(poor);
  await expect(sources.source.portsOf('network', 'n')).rejects.toThrow('gone away');
  expect(poor.closed).toBe(false);
});

test('two rows processes are asked in turn', async () => {
  const sources = createBackgroundSources(1000, 0);
  const asked: number[] = [];
  for (const pid of [1, 2])
    sources.add(
      peer(pid, async () => {
        asked.push(pid);
        return ['p'];
      }),
    );
  for (let turn = 0; turn < 4; turn += 1) await sources.source.portsOf('network', 'n');
  expect(asked.toSorted()).toEqual([1, 1, 2, 2]);
});

test('after close, no call waits', async () => {
  const sources = createBackgroundSources(1000, 60_000);
  const asked = sources.source.rows(noRowsQuestion);
  sources.close();
  await expect(asked).rejects.toMatchObject({ code: 'NO_ROWS_PROCESS' });
});

test('a question waits for the first rows process no longer than its patience, and again when the last one has gone', async () => {
  const clock = fakeClock();
  const sources = createBackgroundSources(1000, 15_000, clock);
  const only = peer(1, async () => noRows);
  for (let round = 0; round < 2; round += 1) {
    const asked = sources.source.rows(noRowsQuestion).catch((error: WireError) => error.code);
    let said: unknown;
    void asked.then((answer) => {
      said = answer;
    });
    await clock.pass(14_999);
    expect(said).toBeUndefined();
    await clock.pass(1);
    expect(said).toBe('NO_ROWS_PROCESS');
    const later = sources.source.rows(noRowsQuestion);
    await clock.pass(10_000);
    sources.add(only);
    expect(await later).toEqual(noRows);
    expect(clock.restsMs).toEqual([]); // nothing waits after the source was closed
    sources.remove(only);
  }
});
