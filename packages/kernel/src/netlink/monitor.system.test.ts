import { execFileSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { flag, MessageWriter, readAttributes, readString } from './attributes.ts';
import { type NetlinkMonitor, openMonitor } from './monitor.ts';
import { inNamespace } from './namespace.ts';
import { NetlinkError, type NetlinkMessage, netlinkProtocol, openNetlinkSocket } from './socket.ts';

const linkGroup = 1;
const namespace = `nlmon-${process.pid}`;
let monitor: NetlinkMonitor;
beforeEach(() => {
  execFileSync('ip', ['netns', 'add', namespace]);
  monitor = openMonitor(namespace);
});
afterEach(() => {
  monitor.close();
  execFileSync('ip', ['netns', 'del', namespace]);
});

const nameOf = (message: NetlinkMessage): string => readString(readAttributes(message.payload, 16).get(3) ?? new Uint8Array());
const ip = (...args: readonly string[]): unknown => execFileSync('ip', ['-n', namespace, ...args]);

test('a link that is created in the namespace is reported', async () => {
  const told = new Promise<string[]>((resolve) => {
    monitor.subscribe(
      netlinkProtocol.route,
      [linkGroup],
      (messages) => resolve(messages.map(nameOf)),
      () => resolve(['overrun']),
    );
  });
  ip('link', 'add', 'seen0', 'type', 'ifb');
  expect(await told).toContain('seen0');
});

test('messages that the kernel had to drop are reported as an overrun, and later messages still arrive', async () => {
  let overran = (): void => undefined;
  let seen = (_names: readonly string[]): void => undefined;
  const overrun = new Promise<void>((resolve) => {
    overran = resolve;
  });
  monitor.subscribe(
    netlinkProtocol.route,
    [linkGroup],
    (messages) => seen(messages.map(nameOf)),
    () => overran(),
  );
  // This runs synchronously, so that nothing is read meanwhile, and sends more than the receive buffer holds.
  const socket = inNamespace(namespace, () => openNetlinkSocket(netlinkProtocol.route));
  const writer = new MessageWriter();
  let refused = 0;
  for (let count = 0; count < 60_000; count++) {
    writer.reset();
    writer.begin(16, flag.request | flag.acknowledge, socket.nextSequence());
    const link = new Uint8Array(16);
    link.set([1, 0, 0, 0], 4); // lo
    link[8] = count % 2; // up, down
    link[12] = 1;
    writer.raw(link);
    writer.end();
    refused += socket.exchange([writer.bytes()]).refusals.length;
  }
  socket.close();
  expect(refused).toBe(0);
  await overrun;
  const later = new Promise<readonly string[]>((resolve) => {
    seen = (names) => names.includes('later0') && resolve(names);
  });
  ip('link', 'add', 'later0', 'type', 'ifb');
  expect(await later).toContain('later0');
});

test('after close no message is reported, and the namespace can be deleted', async () => {
  const told: string[] = [];
  const subscription = monitor.subscribe(
    netlinkProtocol.route,
    [linkGroup],
    (messages) => told.push(...messages.map(nameOf)),
    () => told.push('overrun'),
  );
  const other = new Promise((resolve) => monitor.subscribe(netlinkProtocol.route, [linkGroup], resolve, () => resolve('overrun')));
  subscription.close();
  subscription.close();
  ip('link', 'add', 'unseen0', 'type', 'ifb');
  await other;
  expect(told).toEqual([]);
});

test('a namespace that does not exist is named in the error', () => {
  expect(() => inNamespace('no-such-namespace', () => 0)).toThrow(NetlinkError);
  expect(() => inNamespace('no-such-namespace', () => 0)).toThrow('/run/netns/no-such-namespace: ENOENT');
});

test('afterwards the thread is outside again, after success and after an error', () => {
  const links = (): string[] => {
    const socket = openNetlinkSocket(netlinkProtocol.route);
    const writer = new MessageWriter();
    writer.begin(18, flag.request | flag.dump, socket.nextSequence());
    writer.raw(new Uint8Array(16));
    writer.end();
    const names = socket.exchange([writer.bytes()]).answers.map(nameOf);
    socket.close();
    return names;
  };
  // Namespaces are compared by identity, because the links outside may change at any time.
  const where = (): string => readlinkSync('/proc/thread-self/ns/net');
  ip('link', 'add', 'inside0', 'type', 'ifb');
  const before = where();
  expect(inNamespace(namespace, links)).toContain('inside0');
  expect(inNamespace(namespace, where)).not.toBe(before);
  expect(where()).toBe(before);
  expect(links()).not.toContain('inside0');
  expect(() =>
    inNamespace(namespace, () => {
      throw new Error('from inside');
    }),
  ).toThrow('from inside');
  expect(where()).toBe(before);
});
