import { CodedError, recordingLog } from '@calico-openstack/agent';
import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { afterEach, describe, expect, test } from 'vitest';
import { type DnsmasqHost, type DnsmasqProcess, type FoundDnsmasq, startDnsmasqSupervisor } from './supervisor.ts';

const closing: DnsmasqProcess[] = [];
afterEach(async () => {
  for (const supervised of closing.splice(0)) await supervised.close();
});

/** A host in memory: its Dnsmasqs, and everything that was done with them, in order. */
function setUp(...found: readonly FoundDnsmasq[]) {
  const clock = fakeClock();
  const { log, entries } = recordingLog();
  const alive = new Map<number, () => void>(found.map(({ pid }) => [pid, () => {}]));
  const done: string[] = [];
  const startedAfter: string[] = [];
  const startedAtMs: number[] = [];
  const state = {
    livesMs: Number.POSITIVE_INFINITY,
    startFails: false,
    is: 'well' as ReturnType<DnsmasqHost['stateOf']>,
    killMs: 0,
    isAlone: false,
    bytes: 5e6,
  };
  let lastPid = 100;
  const end = (pid: number): void => {
    const onExit = alive.get(pid);
    alive.delete(pid);
    onExit?.();
  };
  const host: DnsmasqHost = {
    get isAlone() {
      return state.isAlone;
    },
    find: () => found,
    isAlive: ({ pid }) => alive.has(pid),
    stateOf: () => state.is,
    residentBytes: () => state.bytes,
    goOn: ({ pid }) => void done.push(`go on ${pid}`),
    async start(onExit) {
      startedAtMs.push(clock.steadyMs());
      if (state.startFails) throw new CodedError('DNSMASQ_ENDED', 'dnsmasq ended at its start: address already in use');
      lastPid += 1;
      const pid = lastPid;
      alive.set(pid, onExit);
      done.push(`start ${pid}`);
      if (state.livesMs < Number.POSITIVE_INFINITY) void clock.pause(state.livesMs).then(() => end(pid));
      return { pid, startTicks: pid };
    },
    async kill({ pid }) {
      if (state.killMs > 0) await clock.pause(state.killMs);
      done.push(`kill ${pid}`);
      end(pid);
    },
    hangUp: ({ pid }) => void done.push(`hang up ${pid}`),
  };
  const supervised = startDnsmasqSupervisor({
    host,
    gives: 'new leases',
    beforeStart: () => void done.push('tidy'),
    started: () => void startedAfter.push(done.at(-1) ?? ''),
    log,
    clock,
  });
  closing.push(supervised);
  const gapsMs = (): number[] => startedAtMs.slice(1).map((atMs, index) => atMs - startedAtMs[index]!);
  return {
    clock,
    supervised,
    done,
    /** What was done last, each time that the supervisor reported a start. */
    startedAfter,
    state,
    end,
    startedAtMs,
    gapsMs,
    said: (msg: string) => entries.flatMap(({ message, fields }) => (message === msg ? [fields] : [])),
  };
}

const left = (pid: number, started: FoundDnsmasq['started']): FoundDnsmasq => ({ pid, startTicks: pid, started });

test('nothing is started before `run` is called; then Dnsmasq is started after the tidying', async () => {
  const { clock, supervised, done } = setUp();
  supervised.reload();
  await clock.pass(10_000);
  expect(done).toEqual([]);
  supervised.run();
  await supervised.settled();
  expect(done).toEqual(['tidy', 'start 101']); // no reload follows, because Dnsmasq reads its files at its start
});

test('a Dnsmasq that ends after a while is restarted at once', async () => {
  const { clock, supervised, done, end, startedAtMs, said } = setUp();
  supervised.run();
  await clock.pass(1000);
  end(101);
  await clock.pass(0);
  expect(startedAtMs).toEqual([0, 1000]);
  expect(done).toEqual(['tidy', 'start 101', 'tidy', 'start 102']);
  expect(said('Dnsmasq has ended, so guests get no new leases for a moment; restarting it; see its own log for why')).toMatchObject([
    { process: 101, livedMs: 1000 },
  ]);
});

test('a Dnsmasq that keeps ending right after its start is restarted at growing pauses, up to ten seconds', async () => {
  const { clock, supervised, state, gapsMs, said } = setUp();
  state.livesMs = 999;
  supervised.run();
  await clock.pass(90_000);
  const pausesMs = gapsMs().map((gapMs) => gapMs - 999);
  for (const [index, fullMs] of [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000].entries()) {
    expect(pausesMs[index]).toBeGreaterThanOrEqual(fullMs / 2);
    expect(pausesMs[index]).toBeLessThanOrEqual(fullMs);
  }
  expect(said('Dnsmasq ends right after its start, so guests get no new leases; restarting it after a pause; see its own log for why')[8]).toMatchObject({
    livedMs: 999,
    failures: 9,
  });
  // After a Dnsmasq that stays alive, the pauses start from the shortest again.
  state.livesMs = 1000;
  await clock.pass(20_000);
  expect(gapsMs().slice(-3)).toEqual([1000, 1000, 1000]);
});

test('a Dnsmasq that cannot be started is retried at growing pauses, and serves as soon as possible', async () => {
  const { clock, supervised, state, gapsMs, done } = setUp();
  state.startFails = true;
  supervised.run();
  await clock.pass(1000);
  const pausesMs = gapsMs();
  expect(pausesMs.length).toBeGreaterThan(2);
  expect(pausesMs.toSorted((one, other) => one - other)).toEqual(pausesMs);
  state.startFails = false;
  await clock.pass(1600);
  expect(done.filter((what) => what !== 'tidy')).toEqual(['start 101']);
});

test('a Dnsmasq that is replaced ends only when the next one serves; if that cannot start, the former goes on serving', async () => {
  const { clock, supervised, state, done } = setUp();
  supervised.run();
  await supervised.settled();
  state.startFails = true;
  state.is = 'blind';
  await clock.pass(5000);
  expect(done.filter((what) => what.startsWith('kill'))).toEqual([]);
  state.startFails = false;
  state.is = 'well';
  await clock.pass(10_000);
  expect(done.filter((what) => what !== 'tidy')).toEqual(['start 101', 'start 102', 'kill 101']);
});

test('a reload is a SIGHUP at once, so that Dnsmasq has it before any message that follows', async () => {
  const { clock, supervised, done } = setUp();
  supervised.run();
  await supervised.settled();
  supervised.reload();
  expect(done.slice(2)).toEqual(['hang up 101']);
  await clock.pass(0);
  expect(done.slice(2)).toEqual(['hang up 101']);
});

test('each start and each takeover is reported, once Dnsmasq alone answers by the files as they are', async () => {
  const { clock, supervised, done, startedAfter, end } = setUp(left(7, 'otherwise'), left(8, 'same'));
  supervised.run();
  await clock.pass(1000);
  end(8);
  expect(supervised.isServing()).toBe(false); // at once, although nothing has reported the end yet
  await clock.pass(1000);
  expect(supervised.isServing()).toBe(true);
  expect(done).toEqual(['kill 7', 'hang up 8', 'tidy', 'start 101']);
  expect(startedAfter).toEqual(['hang up 8', 'start 101']);
});

test.each([
  { who: 'its child', found: [] },
  { who: 'taken over', found: [left(101, 'same')] },
])('a Dnsmasq that was stopped is continued, and that is logged once: $who', async ({ found }) => {
  const { clock, supervised, done, state, said } = setUp(...found);
  supervised.run();
  await clock.pass(0);
  done.length = 0;
  state.is = 'stopped';
  await clock.pass(1000);
  expect(new Set(done)).toEqual(new Set(['go on 101']));
  state.is = 'well';
  await clock.pass(5000);
  const message = 'Dnsmasq was stopped by a signal or a debugger, so guests got no answers; it is continued with SIGCONT';
  expect(said(message)).toEqual([{ process: 101 }]);
  state.is = 'stopped';
  await clock.pass(1000);
  expect(said(message)).toHaveLength(2);
});

test('a Dnsmasq that goes on after a stop counts as serving soon, and that is reported as a start is: nothing was passed to it meanwhile', async () => {
  const { clock, supervised, state, startedAfter } = setUp();
  supervised.run();
  await clock.pass(0);
  startedAfter.length = 0;
  state.is = 'stopped';
  await clock.pass(1000);
  expect(startedAfter).toEqual([]);
  state.is = 'well';
  await clock.pass(50);
  expect(startedAfter).toEqual(['go on 101']);
  expect(supervised.isServing()).toBe(true);
});

test('the successor of a Dnsmasq that was killed while it was stopped counts as serving at once', async () => {
  const { clock, supervised, state, end } = setUp();
  supervised.run();
  state.is = 'stopped';
  await clock.pass(1000);
  expect(supervised.isServing()).toBe(false);
  state.is = 'well';
  end(101);
  await clock.pass(0);
  expect(supervised.isServing()).toBe(true);
});

test('a Dnsmasq whose directories were deleted is replaced by one that has them again', async () => {
  const { clock, supervised, done, state } = setUp();
  supervised.run();
  await clock.pass(0);
  state.is = 'blind';
  await clock.pass(1000);
  state.is = 'well';
  await clock.pass(5000);
  expect(done).toEqual(['tidy', 'start 101', 'tidy', 'start 102', 'kill 101']);
});

test('a Dnsmasq that has grown by more than 16 MiB is replaced, and its successor is measured anew', async () => {
  const { clock, supervised, done, state, said } = setUp();
  supervised.run();
  await clock.pass(1000);
  state.bytes += 16 * 2 ** 20;
  await clock.pass(5000);
  expect(done.splice(0)).toEqual(['tidy', 'start 101']);
  state.bytes += 1;
  await clock.pass(5000);
  expect(done.splice(0)).toEqual(['tidy', 'start 102', 'kill 101']);
  expect(said('Dnsmasq has grown by reading its files again and again; it is replaced, and serves until then')).toMatchObject([{ process: 101, before: 5e6 }]);
  state.bytes += 17 * 2 ** 20;
  await clock.pass(1000);
  expect(done).toEqual(['tidy', 'start 103', 'kill 102']);
});

test('a Dnsmasq whose successor could not start beside it is not replaced because it has grown', async () => {
  const { clock, supervised, done, state } = setUp();
  state.isAlone = true;
  supervised.run();
  await clock.pass(1000);
  state.bytes += 2 ** 30;
  await clock.pass(5000);
  expect(done).toEqual(['tidy', 'start 101']);
});

test('a Dnsmasq that is taken over without its directories is replaced before anybody is told that a port is served', async () => {
  const { clock, supervised, done, state } = setUp(left(7, 'same'));
  state.is = 'blind';
  supervised.run();
  await clock.pass(0);
  expect(done).toEqual(['tidy', 'start 101', 'kill 7']);
});

describe('a Dnsmasq that an earlier agent left', () => {
  test('and started in the same way is taken over, and reads its files, since its agent may have ended before the reload', async () => {
    const { clock, supervised, done, end, startedAtMs } = setUp(left(7, 'same'));
    supervised.run();
    await clock.pass(0);
    expect(done).toEqual(['hang up 7']);
    // This Dnsmasq is not a child of the agent, so only a check can detect its end.
    end(7);
    await clock.pass(199);
    expect(startedAtMs).toEqual([]);
    await clock.pass(1);
    expect(startedAtMs).toEqual([200]);
    await clock.pass(10_000);
    expect(done).toEqual(['hang up 7', 'tidy', 'start 101']);
  });

  test('and started in another way serves until its successor does; in another namespace it is ended at once; of two that are the same one stays', async () => {
    const otherwise = setUp(left(7, 'otherwise'), left(8, 'elsewhere'));
    otherwise.supervised.run();
    await otherwise.clock.pass(0);
    expect(otherwise.done).toEqual(['kill 8', 'tidy', 'start 101', 'kill 7']);
    const twice = setUp(left(7, 'same'), left(8, 'same'));
    twice.supervised.run();
    await twice.clock.pass(0);
    expect(twice.done).toEqual(['kill 8', 'hang up 7']);
  });

  test('and started in another way is ended before its successor starts, where both want the same port', async () => {
    const { state, supervised, clock, done } = setUp(left(7, 'otherwise'));
    state.isAlone = true;
    supervised.run();
    await clock.pass(0);
    expect(done).toEqual(['kill 7', 'tidy', 'start 101']);
  });
});

test('closing leaves Dnsmasq running', async () => {
  const { clock, supervised, done, end } = setUp();
  supervised.run();
  await supervised.settled();
  await supervised.close();
  end(101);
  await clock.pass(10_000);
  expect(done).toEqual(['tidy', 'start 101']);
});

test('a Dnsmasq counts as serving from its start until it ends, is stopped or has to be replaced', async () => {
  const { clock, supervised, state, end } = setUp();
  expect(supervised.isServing()).toBe(false);
  supervised.run();
  await clock.pass(1000);
  expect(supervised.isServing()).toBe(true);
  state.is = 'stopped';
  await clock.pass(5000);
  expect(supervised.isServing()).toBe(false);
  state.is = 'well';
  await clock.pass(5000);
  expect(supervised.isServing()).toBe(true);
  state.startFails = true;
  end(101);
  await clock.pass(0);
  expect(supervised.isServing()).toBe(false);
});

test('what has to end first has ended before the next thing happens, however long that takes', async () => {
  const { clock, supervised, done, state } = setUp(left(7, 'otherwise'), left(8, 'elsewhere'));
  state.killMs = 5000;
  supervised.run();
  await clock.pass(4999);
  expect(done).toEqual([]);
  await clock.pass(1);
  expect(done).toEqual(['kill 8', 'tidy', 'start 101']);
  supervised.reload();
  await clock.pass(4999);
  expect(done).toEqual(['kill 8', 'tidy', 'start 101']);
  await clock.pass(10_000);
  expect(done).toEqual(['kill 8', 'tidy', 'start 101', 'kill 7', 'hang up 101']);
});

test('a reload that is asked for while Dnsmasq is away is no SIGHUP, since it reads everything at its start', async () => {
  const { clock, supervised, done, state, end } = setUp();
  supervised.run();
  await clock.pass(2000);
  state.startFails = true;
  end(101);
  supervised.reload();
  await clock.pass(0);
  state.startFails = false;
  await clock.pass(10_000);
  expect(done.filter((what) => what !== 'tidy')).toEqual(['start 101', 'start 102']);
});

test('after one that lived long, the pauses start anew', async () => {
  const { clock, supervised, state, end, gapsMs } = setUp();
  state.livesMs = 500;
  supervised.run();
  await clock.pass(30_000);
  state.livesMs = Number.POSITIVE_INFINITY;
  await clock.pass(20_000);
  const starts = gapsMs().length + 1;
  state.livesMs = 500;
  end(100 + starts);
  await clock.pass(700);
  expect(gapsMs().length).toBe(starts + 1);
  expect(gapsMs().at(-1)).toBeLessThanOrEqual(600);
});

test('closing ends a pause', async () => {
  const { clock, supervised, state } = setUp();
  state.livesMs = 1;
  supervised.run();
  await clock.pass(60_000);
  expect(clock.restsMs.length).toBeGreaterThan(0);
  await supervised.close();
  expect(clock.restsMs).toEqual([]);
});

test.each([
  { who: 'its child', found: [] },
  { who: 'taken over', found: [left(101, 'same')] },
])('the first Dnsmasq is no restart, and each further one is: $who', async ({ found }) => {
  const { clock, supervised, end } = setUp(...found);
  expect(supervised.restarts).toBe(0);
  supervised.run();
  await clock.pass(5000);
  expect(supervised.restarts).toBe(0);
  end(101);
  await clock.pass(5000);
  expect(supervised.restarts).toBe(1);
});

test('a child is checked once a second, since its end is reported; one that was taken over five times a second, since its end is not', async () => {
  const child = setUp();
  child.supervised.run();
  await child.clock.pass(0);
  expect(child.clock.restsMs).toEqual([1000]);
  const takenOver = setUp(left(101, 'same'));
  takenOver.supervised.run();
  await takenOver.clock.pass(0);
  expect(takenOver.clock.restsMs).toEqual([200]);
});
