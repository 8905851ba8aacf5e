import { recordingLog } from '@calico-openstack/agent';
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
