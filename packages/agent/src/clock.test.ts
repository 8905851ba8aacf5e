import { getEventListeners } from 'node:events';
import { afterEach, expect, test, vi } from 'vitest';
import { pause, systemClock, within } from './clock.ts';
import { fakeClock } from './fake-clock.ts';

afterEach(() => vi.useRealTimers());

test('the system’s clock does a thing once, at its time, and not at all when that is prevented', () => {
  vi.useFakeTimers();
  const done: string[] = [];
  systemClock.after(1000, () => done.push('at its time'));
  const prevent = systemClock.after(500, () => done.push('never'));
  prevent();
  vi.advanceTimersByTime(999);
  expect(done).toEqual([]);
  vi.advanceTimersByTime(10_000);
  expect(done).toEqual(['at its time']);
  expect(vi.getTimerCount()).toBe(0);
});

test('a pause leaves neither a timer nor a listener behind, however it ends', async () => {
  vi.useFakeTimers();
  const stop = new AbortController();
  let ended = 0;
  const wait = async (ms: number): Promise<void> => {
    await pause(ms, stop.signal);
    ended += 1;
  };
  const [short, long] = [wait(1000), wait(1_000_000)];
  await vi.advanceTimersByTimeAsync(999);
  expect(ended).toBe(0);
  await vi.advanceTimersByTimeAsync(1);
  await short;
  expect([ended, getEventListeners(stop.signal, 'abort')]).toMatchObject([1, { length: 1 }]);
  stop.abort();
  await long;
  expect(vi.getTimerCount()).toBe(0);
  expect(getEventListeners(stop.signal, 'abort')).toEqual([]);
});

test('a pause ends early, without error, when its signal is aborted, before or while it lasts', async () => {
  const stop = new AbortController();
  const paused = pause(1_000_000, stop.signal);
  stop.abort();
  await paused;
  await pause(1_000_000, stop.signal);
});

test('a pause that should have ended already ends at once, without a warning of Node’s', async () => {
  const warnings: string[] = [];
  const onWarning = (warning: Error): number => warnings.push(warning.message);
  process.on('warning', onWarning);
  await pause(-1500);
  await new Promise(setImmediate);
  process.off('warning', onWarning);
  expect(warnings).toEqual([]);
});

test('of what is asked within a time the answer counts, or that it is late', async () => {
  const clock = fakeClock();
  const late = () => new Error('late');
  expect(await within(Promise.resolve(1), 5000, clock, late)).toBe(1);
  await expect(within(Promise.reject(new Error('refused')), 5000, clock, late)).rejects.toThrow('refused');
  expect(clock.restsMs).toEqual([]);
  const outcome = within(new Promise(() => undefined), 5000, clock, late).catch((error: Error) => error.message);
  let said: unknown;
  void outcome.then((message) => {
    said = message;
  });
  await clock.pass(4999);
  expect(said).toBeUndefined();
  await clock.pass(1);
  expect(said).toBe('late');
});

test('on the fake clock pauses end in their order, each at its own time', async () => {
  const clock = fakeClock(1000);
  const ended: [string, number, number][] = [];
  const wait = (name: string, ms: number): Promise<void> => clock.pause(ms).then(() => void ended.push([name, clock.steadyMs(), clock.nowMs()]));
  void wait('long', 300);
  void wait('short', 100).then(() => wait('behind it', 100));
  await clock.pass(250);
  expect(ended).toEqual([
    ['short', 100, 1100],
    ['behind it', 200, 1200],
  ]);
  expect(clock.restsMs).toEqual([50]);
  expect(clock.steadyMs()).toBe(250);
});
