import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { environmentOf, isAlive, processFacts } from '@calico-openstack/kernel/processes/processes';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isLabError } from './errors.ts';
import { createProcesses, labMark, type Processes, type Program, readRecord } from './process.ts';
import { until } from './wait.ts';

let directory: string;
let abort: AbortController;
let processes: Processes;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'calico-lab-test-'));
  abort = new AbortController();
  processes = createProcesses(directory, abort.signal);
});

afterEach(async () => {
  sleeper().kill('SIGKILL');
  await sleeper().ended();
  rmSync(directory, { recursive: true });
});

const sleeper = (more: Partial<Program> = {}) => processes.service({ name: 'host-1/sleeper', command: 'sleep', args: ['60'], ...more });
const failing = (code: string) => expect.toSatisfy((error: unknown) => isLabError(error, code as never), `a LabError ${code}`);

test('a command returns what it printed', async () => {
  expect(await processes.run('sh', ['-c', 'cat; echo done'], { input: 'asked\n' })).toBe('asked\ndone\n');
});

test('the error of a failed command has its exit status and its last output', async () => {
  const failure = processes.run('sh', ['-c', 'echo "no such thing" >&2; exit 3']);
  await expect(failure).rejects.toEqual(failing('COMMAND_FAILED'));
  await expect(failure).rejects.toThrow(/ended with 3: no such thing/);
});

test('attempt returns the exit status of a command that fails', async () => {
  expect(await processes.attempt('sh', ['-c', 'exit 3'])).toMatchObject({ status: 3 });
});

test('a program that does not exist is named in the error', async () => {
  await expect(processes.run('no-such-program', [])).rejects.toEqual(failing('PROGRAM_MISSING'));
  await expect(sleeper({ command: 'no-such-program' }).start()).rejects.toThrow(/no-such-program/);
});

test('a command inherits nothing of the caller’s environment, and carries the lab’s mark', async () => {
  process.env['CALICO_LAB_TEST'] = 'leaks';
  try {
    const environment = await processes.run('env', []);
    expect(environment).not.toContain('leaks');
    expect(environment).toContain(`${labMark}=${directory}\n`);
  } finally {
    delete process.env['CALICO_LAB_TEST'];
  }
});

test('a service is recorded by pid and start time, carries the lab’s mark, and has a session of its own', async () => {
  const service = sleeper();
  await service.start();
  const record = readRecord(join(service.directory, 'process.json'));
  expect(record?.pid).toBe(service.pid());
  const facts = processFacts(record?.pid ?? 0);
  expect(facts).toMatchObject({ session: record?.pid, startTicks: record?.startTicks });
  expect(environmentOf(record?.pid ?? 0)).toContain(`${labMark}=${directory}`);
});

test('another process finds a service by its record, and stops it', async () => {
  await sleeper().start();
  const found = createProcesses(directory, new AbortController().signal).service(sleeper().program);
  const pid = found.pid();
  expect(pid).toBe(sleeper().pid());
  await found.stop();
  expect(processFacts(pid ?? 0)?.zombie ?? true).toBe(true);
  expect(sleeper().pid()).toBeUndefined();
});

test('a pid that has been given to another process is not the service’s', async () => {
  const service = sleeper();
  await service.start();
  const record = readRecord(join(service.directory, 'process.json'));
  expect(isAlive({ pid: record?.pid ?? 0, startTicks: record?.startTicks ?? 0 })).toBe(true);
  expect(isAlive({ pid: record?.pid ?? 0, startTicks: (record?.startTicks ?? 0) + 1 })).toBe(false);
});

test('a service that ends before it is ready is reported at once, with its last output', async () => {
  const service = sleeper({
    command: 'sh',
    args: ['-c', 'echo "cannot read my file"; exit 2'],
    ready: (hopeful) => until('never', () => undefined, { hopeful }),
  });
  const failure = service.start();
  await expect(failure).rejects.toEqual(failing('ENDED_EARLY'));
  await expect(failure).rejects.toThrow(/ended with 2; last lines[\s\S]*cannot read my file/);
});

test('a service’s output before its last start does not count', async () => {
  const service = sleeper({ command: 'sh', args: ['-c', 'echo "I am ready"; exec sleep 60'] });
  for (let time = 0; time < 2; time += 1) {
    await service.start();
    await until('its word', () => service.said().includes('ready') || undefined);
    expect(service.said()).toBe('I am ready\n');
    await service.stop();
  }
});

test('an abort ends what is under way, and nothing new starts', async () => {
  const reason = new Error('enough');
  const never = { ready: (hopeful: () => void) => until('never', () => undefined, { hopeful }) };
  const wait = processes.until('never', async () => void (await processes.run('true', [])));
  const outcomes = Promise.allSettled([processes.run('sleep', ['60']), sleeper(never).start(), wait]);
  await until('the service to run', () => sleeper().pid());
  abort.abort(reason);
  await processes.idle();
  expect(await outcomes).toEqual([
    { status: 'rejected', reason },
    { status: 'rejected', reason },
    { status: 'rejected', reason },
  ]);
  await expect(processes.run('true', [])).rejects.toBe(reason);
  await expect(sleeper().start()).rejects.toBe(reason);
});

test('a command that takes too long is killed, and named', async () => {
  await expect(processes.run('sleep', ['60'], { timeoutMs: 50 })).rejects.toThrow(/sleep 60: still running after 0.05 s/);
});
