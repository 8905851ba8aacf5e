import { beforeEach, describe, expect, test } from 'vitest';
import { birdReconciler, refusedRetryMs } from './apply.ts';
import { type PrintedConfiguration, textOf } from './bird/print.ts';
import { type FakeBird, fakeBird } from './testing/fake-bird.ts';

const configuration = (revision: string): PrintedConfiguration => ({
  parts: ['define calico_revision = ', `"${revision}";`].map((text) => Buffer.from(text)),
  revision,
  guards: '',
});

describe('BIRD’s configuration', () => {
  let bird: FakeBird;
  let reconcile: ReturnType<typeof birdReconciler>['reconcile'];
  let retry: () => void;
  beforeEach(() => {
    bird = fakeBird();
    ({ reconcile, retry } = birdReconciler(bird.host));
  });

  test('that is new is checked, put in place and read', async () => {
    expect(await reconcile(configuration('a'))).toEqual({ kind: 'configured' });
    expect(bird.state).toMatchObject({ file: textOf(configuration('a')), running: textOf(configuration('a')), checked: 1, asked: ['configure'] });
  });
  test('that is right already is touched by nobody, also not by an agent that has just started', async () => {
    await reconcile(configuration('a'));
    expect(await reconcile(configuration('a'))).toEqual({ kind: 'right' });
    expect(await birdReconciler(bird.host).reconcile(configuration('a'))).toEqual({ kind: 'right' });
    expect(bird.state).toMatchObject({ checked: 1, asked: ['configure'] });
  });
  test('that the check refuses changes neither file nor BIRD, and is not tried again', async () => {
    await reconcile(configuration('a'));
    expect(await reconcile(configuration('bad'))).toEqual({ kind: 'refused', by: 'check', reason: 'line:1:1 no' });
    expect(await reconcile(configuration('bad'))).toMatchObject({ kind: 'refused' });
    expect(bird.state).toMatchObject({ file: textOf(configuration('a')), running: textOf(configuration('a')), checked: 2, asked: ['configure'] });
    expect(bird.drafts.size).toBe(0);
  });
  test('that BIRD itself refuses leaves the former one in the file too, so that BIRD can start again', async () => {
    await reconcile(configuration('a'));
    expect(await reconcile(configuration('worse'))).toEqual({ kind: 'refused', by: 'bird', reason: 'bird.conf:1:1 no' });
    expect(bird.state).toMatchObject({ file: textOf(configuration('a')), running: textOf(configuration('a')) });
  });
  test('that was refused is tried again when it has changed, or somebody asks for it', async () => {
    await reconcile(configuration('bad'));
    expect(await reconcile(configuration('b'))).toEqual({ kind: 'configured' });
    await reconcile(configuration('bad'));
    bird.state.refusedByCheck = 'none';
    expect(await reconcile(configuration('bad'))).toMatchObject({ kind: 'refused' });
    retry();
    expect(await reconcile(configuration('bad'))).toEqual({ kind: 'configured' });
  });
  test('that was refused is tried again after a while, since the cause may lie elsewhere', async () => {
    let nowMs = 0;
    const reconciler = birdReconciler(bird.host, () => nowMs);
    await reconciler.reconcile(configuration('bad'));
    bird.state.refusedByCheck = 'none';
    nowMs = refusedRetryMs - 1;
    expect(await reconciler.reconcile(configuration('bad'))).toMatchObject({ kind: 'refused' });
    nowMs = refusedRetryMs;
    expect(await reconciler.reconcile(configuration('bad'))).toEqual({ kind: 'configured' });
  });
  test('waits in the file for a BIRD that is away, which then needs no telling', async () => {
    bird.state.away = true;
    await expect(reconcile(configuration('a'))).rejects.toMatchObject({ code: 'BIRD_AWAY' });
    expect(bird.state.file).toBe(textOf(configuration('a')));
    Object.assign(bird.state, { away: false, running: bird.state.file });
    expect(await reconcile(configuration('a'))).toEqual({ kind: 'right' });
    expect(bird.state.asked).toEqual([]);
  });
  test('is read by a BIRD that has the right file and works by another', async () => {
    bird.state.file = textOf(configuration('a'));
    expect(await reconcile(configuration('a'))).toEqual({ kind: 'configured' });
    expect(bird.state.checked).toBe(0);
  });
  test('may take BIRD a while: it is asked until it has gone over to it', async () => {
    bird.state.busyTurns = 5;
    expect(await reconcile(configuration('a'))).toEqual({ kind: 'configured' });
    expect(bird.state.busyTurns).toBe(0);
  });
  test('in a file that BIRD does not read is an error that says so', async () => {
    bird.state.readsOtherFile = true;
    await expect(reconcile(configuration('a'))).rejects.toMatchObject({ code: 'BIRD_WRONG_FILE' });
  });
});
