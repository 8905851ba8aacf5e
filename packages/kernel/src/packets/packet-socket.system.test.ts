// Tests a packet socket with real frames on links whose other ends the test controls.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { inNamespace } from '../netlink/namespace.ts';
import { makeNamespace, type TestNamespace } from '../nftables/testing/namespace.ts';
import { openWire, type Wire } from '../testing/wire.ts';
import { type Frame, openPacketSocket, type PacketSocket } from './packet-socket.ts';

/** An Ethernet type that nothing else sends. The filter accepts frames whose first byte behind the header is 1. */
const etherType = 0x88b5;
const filter = [
  [0x30, 0, 0, 14],
  [0x15, 0, 1, 1],
  [0x06, 0, 0, 0xffff_ffff],
  [0x06, 0, 0, 0],
] as const;
const frame = (first: number): Uint8Array =>
  Uint8Array.from([...new Array<number>(12).fill(0xff), etherType >> 8, etherType & 255, first, ...new Array<number>(45).fill(0)]);
/** One frame an hour, so that the tests do not depend on time. */
const limit = { atOnce: 5, everyMs: 3_600_000 };

let host: TestNamespace;
let guests: TestNamespace;
let wire: Wire | undefined;
let socket: PacketSocket | undefined;
let heard: Frame[] = [];
beforeEach(() => {
  [socket, wire] = [undefined, undefined];
  [host, guests] = [makeNamespace(), makeNamespace()];
  for (const name of ['tap1', 'tap2', 'last']) addLink(name);
  wire = openWire(guests.name);
  heard = [];
});
afterEach(() => {
  socket?.close();
  wire?.close();
  host.remove();
  guests.remove();
});

function addLink(name: string): void {
  host.ip('link', 'add', name, 'type', 'veth', 'peer', 'name', name, 'netns', guests.name);
  for (const { ip } of [host, guests]) ip('link', 'set', name, 'up');
}

const indexOf = ({ name }: TestNamespace, link: string): number =>
  Number(execFileSync('ip', ['netns', 'exec', name, 'cat', `/sys/class/net/${link}/ifindex`], { encoding: 'utf8' }));

function open(): PacketSocket {
  socket = inNamespace(host.name, () => openPacketSocket(etherType, filter, limit, (one) => heard.push(one)));
  expect(socket.isLimited).toBe(true);
  return socket;
}

function send(link: string, count: number, first = 1): void {
  const index = indexOf(guests, link);
  for (let sent = 0; sent < count; sent++) wire!.send(index, frame(first));
}

/** Resolves when so many frames have been received from a link, no more of them, and a last frame from another link. Two processors may deliver frames in another order. */
async function untilHeard(link: string, frames: number): Promise<void> {
  const [index, last] = [indexOf(host, link), indexOf(host, 'last')];
  const count = (linkIndex: number): number => heard.filter((each) => each.linkIndex === linkIndex).length;
  send('last', 1);
  while (count(last) === 0 || count(index) < frames) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(count(index)).toBe(frames);
}

test('each link has its own limit: frames beyond it are dropped, and the other links are not affected', async () => {
  open();
  send('tap1', 5000);
  send('tap2', 3);
  send('tap1', 5000);
  await untilHeard('tap1', 5);
  await untilHeard('tap2', 3);
  expect(heard.every(({ bytes }) => Buffer.compare(bytes, frame(1)) === 0)).toBe(true);
});

test('frames that the filter drops, and frames that the host sends, are neither received nor counted', async () => {
  open();
  send('tap1', 100, 2);
  for (let sent = 0; sent < 100; sent++) expect(socket!.send(indexOf(host, 'tap1'), frame(1))).toBeUndefined();
  send('tap1', 3);
  await untilHeard('tap1', 3);
});

test('links that are created after the socket are received; a recreated link and a new socket have the whole allowance', async () => {
  open();
  addLink('late');
  send('late', 9);
  await untilHeard('late', 5);
  host.ip('link', 'del', 'late');
  addLink('late');
  heard = [];
  send('late', 9);
  await untilHeard('late', 5);
  socket!.close();
  heard = [];
  open();
  send('late', 9);
  await untilHeard('late', 5);
});

test('a signal that comes while the kernel checks the program does not cost the limit', async () => {
  const killer = spawn('sh', ['-c', `while sleep 0.0005; do kill -CHLD ${process.pid}; done`]);
  await once(killer, 'spawn');
  try {
    for (let opened = 0; opened < 200; opened++) {
      open().close();
      // Lets the signal's handler run.
      await new Promise(setImmediate);
    }
  } finally {
    killer.kill('SIGKILL');
  }
});

// On hosts where everybody may load programs, this cannot be tested.
test.skipIf(readFileSync('/proc/sys/kernel/unprivileged_bpf_disabled', 'utf8').trim() === '0')(
  'a process that may not load programs receives filtered frames without a limit, and isLimited says so',
  () => {
    const program = `
      import { openPacketSocket } from ${JSON.stringify(`${import.meta.dirname}/packet-socket.ts`)};
      const socket = openPacketSocket(${etherType}, ${JSON.stringify(filter)}, ${JSON.stringify(limit)}, ({ bytes }) => {
        heard += String(bytes[14]);
        if (heard.length === 7) { console.log(socket.isLimited, heard); socket.close(); }
      });
      let heard = '';
      const bytes = (first) => Uint8Array.from([...new Array(12).fill(0xff), ${etherType >> 8}, ${etherType & 255}, first, ...new Array(45).fill(0)]);
      for (let sent = 0; sent < 7; sent++) for (const first of [2, 1]) socket.send(1, bytes(first));`;
    const without = ['setpriv', '--bounding-set', '-all,+net_raw,+net_admin'];
    host.ip('link', 'set', 'lo', 'up');
    const told = execFileSync('ip', ['netns', 'exec', host.name, ...without, process.execPath, '--input-type=module-typescript', '-e', program], {
      encoding: 'utf8',
      timeout: 180_000,
    });
    expect(told).toBe('false 1111111\n');
  },
);
