// errno is one number per thread, and the JavaScript engine may set it between two calls. In these tests it is always wrong.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { flag, MessageWriter } from './attributes.ts';
import { DumpRefused, DumpSocket } from './dump.ts';
import { close, setSocketOption } from './libc.ts';
import { inNamespace } from './namespace.ts';
import { NetlinkError, netlinkProtocol, openNetlinkDescriptor, openNetlinkSocket, receiveMessages } from './socket.ts';

vi.mock('./libc.ts', async (importOriginal) => ({ ...(await importOriginal<object>()), errno: () => 2 /* ENOENT */ }));

const namespace = `nlerrno-${process.pid}`;
beforeEach(() => {
  execFileSync('ip', ['netns', 'add', namespace]);
});
afterEach(() => {
  execFileSync('ip', ['netns', 'del', namespace]);
});

function dumpOfLinks(sequence: number): Uint8Array {
  const writer = new MessageWriter(128);
  writer.begin(18 /* RTM_GETLINK */, flag.request | flag.dump, sequence);
  writer.raw(new Uint8Array(16));
  writer.end();
  return writer.bytes();
}

test('an exchange ends when nothing is left to read', () => {
  const socket = inNamespace(namespace, () => openNetlinkSocket(netlinkProtocol.route));
  expect(socket.exchange([dumpOfLinks(socket.nextSequence())]).answers).toHaveLength(1);
  socket.close();
});

test('a dump in slices waits when nothing has arrived yet', async () => {
  execFileSync('ip', ['-n', namespace, '-batch', '-'], { input: Array.from({ length: 300 }, (_, at) => `link add many${at} type ifb\n`).join('') });
  const dumps = new DumpSocket(inNamespace(namespace, () => openNetlinkDescriptor(netlinkProtocol.route)));
  let seen = 0;
  await dumps.read(dumpOfLinks(1), () => {
    seen++;
  });
  expect(seen).toBe(301);
  dumps.close();
});

test('a dump that could not be requested is not mistaken for a refusal by the kernel', async () => {
  const failure = await new DumpSocket(-1).read(dumpOfLinks(1), vi.fn()).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(NetlinkError);
  expect(failure).not.toBeInstanceOf(DumpRefused);
});

test('a dump whose socket is closed meanwhile ends with EBADF, and the descriptor is closed behind it', async () => {
  const fd = inNamespace(namespace, () => openNetlinkDescriptor(netlinkProtocol.route));
  const dumps = new DumpSocket(fd);
  const ended = [dumps.read(dumpOfLinks(1), vi.fn()), dumps.read(dumpOfLinks(2), vi.fn())].map((dump) => dump.catch(({ code }: NetlinkError) => code));
  await Promise.resolve(); // the first one is in its thread now
  dumps.close();
  expect(existsSync(`/proc/self/fd/${fd}`)).toBe(true);
  expect(await Promise.all(ended)).toEqual(['EBADF', 'EBADF']);
  await vi.waitUntil(() => !existsSync(`/proc/self/fd/${fd}`), { timeout: 60_000 });
});

test('dropped messages are reported, and so is the end of the queue', () => {
  const fd = inNamespace(namespace, () => openNetlinkDescriptor(netlinkProtocol.route, [1]));
  const buffer = new Uint8Array(65_536);
  expect(receiveMessages(fd, buffer)).toBeUndefined();
  setSocketOption(fd, 1, 33 /* SO_RCVBUFFORCE */, 2048);
  for (const state of ['up', 'down', 'up', 'down', 'up', 'down']) execFileSync('ip', ['-n', namespace, 'link', 'set', 'lo', state]);
  expect(receiveMessages(fd, buffer)).toBe('overrun');
  while (receiveMessages(fd, buffer) !== undefined);
  // The loss is reported once; messages that arrive from now on are read again.
  execFileSync('ip', ['-n', namespace, 'link', 'set', 'lo', 'up']);
  expect(receiveMessages(fd, buffer)).toHaveLength(1);
  close(fd);
});
