import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { openLog } from './log.ts';
import { unixAddress } from './service-manager.ts';
import { isOutputTheJournal, openSystemLog, type SystemLog, type SystemLogSocket } from './system-log.ts';

const libc = koffi.load('libc.so.6');
const [socket, bind, receive, close] = [
  libc.func('int socket(int, int, int)'),
  libc.func('int bind(int, const uint8_t *, uint32_t)'),
  libc.func('long recv(int, uint8_t *, size_t, int)'),
  libc.func('int close(int)'),
];
let folder: string;
const open = new Map<string, number>();
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'syslog-'));
});
afterEach(() => {
  for (const fd of open.values()) close(fd);
  open.clear();
  rmSync(folder, { recursive: true });
});

const at = (name: string, protocol: SystemLogSocket['protocol']): SystemLogSocket => ({ path: join(folder, name), protocol });

/** Listens as journald or syslogd does. */
function listen({ path }: SystemLogSocket): void {
  const fd: number = socket(1, 2, 0);
  const address = unixAddress(path);
  expect(bind(fd, address, address.length)).toBe(0);
  open.set(path, fd);
}
function stopListening({ path }: SystemLogSocket): void {
  close(open.get(path)!);
  open.delete(path);
  rmSync(path);
}
/** What has arrived at a socket since the last call. */
function arrived({ path }: SystemLogSocket): string[] {
  const [texts, buffer] = [[] as string[], Buffer.alloc(65_536)];
  for (;;) {
    const length: number = receive(open.get(path)!, buffer, buffer.length, 0x40);
    if (length <= 0) return texts;
    texts.push(buffer.toString('utf8', 0, length));
  }
}
/** Resolves when a log that was just opened no longer keeps events back. */
async function loaded(log: SystemLog, at: SystemLogSocket): Promise<void> {
  log.write('TRACE', 'probe');
  await vi.waitFor(() => expect(arrived(at)).toHaveLength(1));
}

describe('an event', () => {
  test('goes to journald with its priority and the program’s name', async () => {
    const journal = at('journal', 'journal');
    listen(journal);
    const log = openSystemLog('calico-felix', [journal]);
    log.write('WARNING', 'it was said before the C library was there');
    await vi.waitFor(() => expect(open.size && arrived(journal)).toEqual([expect.stringContaining('MESSAGE=it was said before')]));
    log.write('ERROR', 'cannot do it code=EPERM\nPRIORITY=0');
    expect(arrived(journal)).toEqual([
      `PRIORITY=3\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=calico-felix\nSYSLOG_PID=${process.pid}\nMESSAGE=cannot do it code=EPERM PRIORITY=0\n`,
    ]);
  });

  test('goes to syslog where there is no journald, and to journald again when that is back', async () => {
    const [journal, syslog] = [at('journal', 'journal'), at('log', 'syslog')];
    listen(syslog);
    const log = openSystemLog('calico-felix', [journal, syslog]);
    await loaded(log, syslog);
    for (const [severity, priority] of [
      ['DEBUG', 31],
      ['INFO', 30],
      ['WARNING', 28],
      ['ERROR', 27],
      ['FATAL', 26],
    ] as const) {
      expect(log.write(severity, 'hello')).toBe(true);
      expect(arrived(syslog)[0]).toMatch(new RegExp(`^<${priority}>[A-Z][a-z]{2} [ 123]\\d \\d\\d:\\d\\d:\\d\\d calico-felix\\[${process.pid}\\]: hello$`));
    }
    stopListening(syslog);
    listen(journal);
    expect(log.write('INFO', 'again')).toBe(true);
    expect(arrived(journal)[0]).toContain('MESSAGE=again');
  });

  test('that nobody takes is lost, and counted', async () => {
    const syslog = at('log', 'syslog');
    listen(syslog);
    const log = openSystemLog('calico-felix', [syslog]);
    await loaded(log, syslog);
    stopListening(syslog);
    expect([log.write('INFO', 'one'), log.write('INFO', 'two')]).toEqual([false, false]);
    listen(syslog);
    expect(log.write('INFO', 'three')).toBe(true);
    expect(arrived(syslog).map((text) => text.replace(/^.*\]: /, ''))).toEqual(["the system's log did not take 2 events before the next one", 'three']);
  });

  test('does not wait for a log that stands still', async () => {
    const syslog = at('log', 'syslog');
    listen(syslog);
    const log = openSystemLog('calico-felix', [syslog]);
    await loaded(log, syslog);
    let taken = 0;
    while (log.write('INFO', 'x'.repeat(1000)) && taken < 100_000) taken += 1;
    expect(taken).toBeLessThan(100_000);
  });
});

describe('the agent’s log', () => {
  const events: string[] = [];
  const printed = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  beforeEach(() => {
    events.length = 0;
    printed.mockClear();
  });
  const options = (isTaken = true) => ({
    name: 'felix',
    openSystem: (identifier: string) => ({ write: (severity: string, text: string) => events.push(`${identifier} ${severity} ${text}`) > 0 && isTaken }),
  });

  test('sends what is severe enough to the system’s log, without the time, which that adds', () => {
    const { log, configure } = openLog({ ...options(), system: 'WARNING' });
    log.info('quiet');
    log.warn({ more: 1 }, 'loud');
    configure({ system: 'INFO' });
    log.child({ part: 'x' }).info('quiet');
    configure({});
    log.error('to nobody');
    expect(events).toEqual(['calico-felix WARNING loud more=1', 'calico-felix INFO quiet part=x']);
  });

  test.each([
    ['prints it too', false, true, 2],
    ['prints only what the journal did not get by its own way, where it gets what is printed', true, true, 1],
    ['prints what the system’s log did not take', true, false, 2],
  ])('%s', (_, isScreenTheJournal, isTaken, lines) => {
    const { log } = openLog({ ...options(isTaken), isScreenTheJournal, screen: 'INFO', system: 'WARNING' });
    log.info('quiet');
    log.warn('loud');
    expect([printed.mock.calls.length, events.length]).toEqual([lines, 1]);
  });
});

test('standard output is the journal only if systemd names it', () => {
  expect(isOutputTheJournal({})).toBe(false);
  expect(isOutputTheJournal({ JOURNAL_STREAM: '1:1' })).toBe(false);
});
