import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { recordingLog } from '@calico-openstack/agent';
import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { expect, test } from 'vitest';
import { startRowsProcess } from './rows-process.ts';
import { eventually } from './testing/eventually.ts';

test('the rows process gets the configuration files and our pid, is restarted when it ends, and its last lines are logged', async () => {
  const { log, entries } = recordingLog();
  const script = 'console.error("cannot", process.argv.slice(1).join(" "), process.env.CALICO_NEUTRON_DRIVER_PID); process.exit(3)';
  const rows = startRowsProcess([process.execPath, '-e', script, '--'], ['/a.conf', '/b.conf'], log);
  const ended = (): unknown[] => entries.filter(({ message }) => message.startsWith('the rows process ended')).map(({ fields }) => fields);
  await eventually(() => expect(ended().length).toBeGreaterThan(1));
  expect(ended()[0]).toMatchObject({ reason: 'exit code 3', said: `cannot --config-file /a.conf --config-file /b.conf ${process.pid}` });
  await rows.close();
});

test('a command that does not exist is reported, and the retries end with the daemon', async () => {
  const { log, entries } = recordingLog();
  const rows = startRowsProcess(['/nowhere/python3'], [], log);
  await eventually(() => expect(entries[0]?.fields).toMatchObject({ reason: expect.stringContaining('ENOENT') }));
  await rows.close();
});

test('without a command, nothing is started', async () => {
  await startRowsProcess([], [], recordingLog().log).close();
});

test('a rows process that ends again and again is started at growing pauses; after one that has run for a minute they begin anew', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'rows-process-'));
  const flag = join(directory, 'stay');
  const clock = fakeClock();
  const { log, entries } = recordingLog();
  const script = 'console.log("here"); if (require("node:fs").existsSync(process.argv.at(-1))) setInterval(() => {}, 1000);';
  const rows = startRowsProcess([process.execPath, '-e', script, '--', flag], [], log, clock);
  const pausesMs: number[] = [];
  for (let round = 0; round < 7; round += 1) {
    await eventually(() => expect(clock.restsMs).toHaveLength(1));
    pausesMs.push(clock.restsMs[0]!);
    if (round === 6) writeFileSync(flag, '');
    await clock.pass(clock.restsMs[0]!);
  }
  for (const [index, fullMs] of [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000].entries()) {
    expect(pausesMs[index]).toBeGreaterThanOrEqual(fullMs / 2);
    expect(pausesMs[index]).toBeLessThanOrEqual(fullMs);
  }
  const pids = (): number[] => entries.flatMap(({ message, fields }) => (message === 'here' ? [fields['pid'] as number] : []));
  await eventually(() => expect(pids()).toHaveLength(8));
  await clock.pass(60_001);
  rows.lost(pids()[0]!); // the pid of an earlier rows process
  rows.lost(pids()[7]!);
  await eventually(() => expect(clock.restsMs).toHaveLength(1));
  expect(clock.restsMs[0]).toBeLessThanOrEqual(1000);
  await rows.close();
  expect(clock.restsMs).toEqual([]);
  rmSync(directory, { recursive: true });
});
