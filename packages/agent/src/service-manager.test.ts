import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { openServiceManager, type ServiceEnvironment, unixAddress } from './service-manager.ts';

const folder = mkdtempSync(join(tmpdir(), 'service-'));
const libc = koffi.load('libc.so.6');
const [socket, bind, receive, close] = [
  libc.func('int socket(int, int, int)'),
  libc.func('int bind(int, const uint8_t *, uint32_t)'),
  libc.func('long recv(int, uint8_t *, size_t, int)'),
  libc.func('int close(int)'),
];
let fd = -1;

/** Listens as systemd does. Returns what has arrived since the last call. */
function listen(path: string): () => string[] {
  fd = socket(1, 2, 0);
  const address = unixAddress(path);
  expect(bind(fd, address, address.length)).toBe(0);
  return () => {
    const [texts, buffer] = [[] as string[], Buffer.alloc(4096)];
    for (;;) {
      const length: number = receive(fd, buffer, buffer.length, 0x40);
      if (length <= 0) return texts;
      texts.push(buffer.toString('utf8', 0, length));
    }
  };
}
afterEach(() => {
  close(fd);
  vi.useRealTimers();
});

describe.each([
  ['a path', join(folder, 'notify')],
  ['an abstract name', `@calico-test-${process.pid}`],
])('systemd at %s', (_, path) => {
  test('is told that the service is ready, and that it ends', async () => {
    const arrived = listen(path);
    const environment: ServiceEnvironment = { NOTIFY_SOCKET: path };
    const manager = await openServiceManager(environment);
    expect(arrived()).toEqual([]);
    manager?.ready();
    manager?.stopping();
    expect(arrived()).toEqual(['READY=1', 'STOPPING=1']);
    expect(environment).toEqual({});
    rmSync(path, { force: true });
  });
});

test('the watchdog is fed at half its time, from when the service is ready', async () => {
  vi.useFakeTimers({ toFake: ['setInterval'] });
  const path = join(folder, 'watchdog');
  const arrived = listen(path);
  const manager = await openServiceManager({ NOTIFY_SOCKET: path, WATCHDOG_USEC: '30000000', WATCHDOG_PID: String(process.pid) });
  vi.advanceTimersByTime(60_000);
  expect(arrived()).toEqual([]);
  manager?.ready();
  vi.advanceTimersByTime(30_000);
  expect(arrived()).toEqual(['READY=1', 'WATCHDOG=1', 'WATCHDOG=1']);
});

test('the watchdog of another process is not fed', async () => {
  vi.useFakeTimers({ toFake: ['setInterval'] });
  const path = join(folder, 'other');
  const arrived = listen(path);
  (await openServiceManager({ NOTIFY_SOCKET: path, WATCHDOG_USEC: '30000000', WATCHDOG_PID: '1' }))?.ready();
  vi.advanceTimersByTime(60_000);
  expect(arrived()).toEqual(['READY=1']);
});

test.each([undefined, '', 'relative', '@', `/${'x'.repeat(107)}`])('nothing is reported to %s', async (NOTIFY_SOCKET) => {
  expect(await openServiceManager(NOTIFY_SOCKET === undefined ? {} : { NOTIFY_SOCKET })).toBeUndefined();
});

test('a systemd that does not listen any more is no failure', async () => {
  const manager = await openServiceManager({ NOTIFY_SOCKET: join(folder, 'nobody') });
  expect(() => manager?.ready()).not.toThrow();
});
