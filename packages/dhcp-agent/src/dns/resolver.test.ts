// The resolver with real sockets on the loopback, and a Dnsmasq that is played.
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { silentLog } from '@calico-openstack/agent';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { DnsService } from '../service/service.ts';
import { ip } from '../testing/facts.ts';
import { framed, openForwarder } from './forwarder.ts';
import { createShares } from './limits.ts';
import { openResolver, type Resolver } from './resolver.ts';

const [gateway, guest, stranger] = ['127.65.0.1', '127.65.0.11', '127.65.0.66'] as const;
const open: { close(): unknown }[] = [];
const ports = new Map<string, DnsService>();
let [port, outside, outsideByTcp, resolver]: [number, Socket, Server, Resolver] = [] as never;

/** A free port of the loopback by UDP and TCP. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, gateway);
  await once(server, 'listening');
  const { port: free } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return free;
}

beforeEach(async () => {
  port = await freePort();
  outside = createSocket('udp4').bind(0, '127.65.0.53');
  open.push(outside);
  await once(outside, 'listening');
  const at = { address: '127.65.0.53', port: outside.address().port };
  outsideByTcp = createServer().listen(at.port, at.address);
  open.push(outsideByTcp);
  await once(outsideByTcp, 'listening');
  const forwarder = openForwarder(at);
  resolver = openResolver({ portOf: (tap) => ports.get(tap), forwarder, log: silentLog(), port });
  open.push(resolver);
});
afterEach(() => {
  for (const one of open.splice(0).reverse()) one.close();
  ports.clear();
});

function serve(tap: string, some: Partial<DnsService> | undefined): void {
  if (some)
    ports.set(tap, { family: 'dns', networkId: 'net-a', hostname: tap, domain: 'x', addresses: [ip(guest)], resolvers: [ip(gateway)], createdMs: 1, ...some });
  else ports.delete(tap);
  resolver.changed(tap);
}

const query = (name: string, id: number): Buffer =>
  Buffer.concat([
    Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    ...name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)])),
    Buffer.from([0, 0, 1, 0, 1]),
  ]);

/** A client at an address, which asks until it is answered: the resolver takes a moment to listen. */
async function client(address: string) {
  const socket = createSocket('udp4').bind(0, address);
  open.push(socket);
  await once(socket, 'listening');
  const answers: Buffer[] = [];
  socket.on('message', (answer) => answers.push(answer));
  return {
    answers,
    send: (message: Buffer) => socket.send(message, port, gateway),
    async ask(message: Buffer): Promise<Buffer> {
      for (let attempt = 0; attempt < 100; attempt += 1) {
        socket.send(message, port, gateway);
        await Promise.race([once(socket, 'message'), new Promise((resolve) => setTimeout(resolve, 100))]);
        const found = answers.find((answer) => answer.subarray(0, 2).equals(message.subarray(0, 2)));
        if (found) return found;
      }
      throw new Error('no answer');
    },
  };
}

test('a guest is answered its network’s names, and nobody else is', async () => {
  serve('vm-1', {});
  serve('vm-2', { addresses: [ip('127.65.0.12')], resolvers: [] });
  const [one, other, untold] = [await client(guest), await client(stranger), await client('127.65.0.12')];
  expect([...(await one.ask(query('vm-2.x', 1))).subarray(-4)]).toEqual([127, 65, 0, 12]);
  // They ask before the guest asks again, so an answer to them would come before its answer.
  other.send(query('vm-2.x', 2));
  untold.send(query('vm-2.x', 3));
  await one.ask(query('vm-2.x', 4));
  expect([other.answers, untold.answers]).toEqual([[], []]);
});

test('other names are asked for outside, under other numbers, and the answer is the guest’s', async () => {
  serve('vm-1', {});
  const numbers = new Set<number>();
  outside.on('message', (message, from) => {
    numbers.add(message.readUInt16BE(0));
    const answer = Buffer.concat([message, Buffer.from('answered')]);
    outside.send(answer, from.port, from.address);
  });
  const one = await client(guest);
  for (let id = 1; id <= 20; id += 1) expect((await one.ask(query('www.example', id))).subarray(-8).toString()).toBe('answered');
  expect(numbers.size).toBeGreaterThanOrEqual(19); // two of them may be the same by chance
});

test('a guest that asks much more than is answered outside is refused, and its neighbour is not', async () => {
  serve('vm-1', {});
  serve('vm-2', { addresses: [ip('127.65.0.12')] });
  const [loud, other] = [await client(guest), await client('127.65.0.12')];
  await loud.ask(query('vm-1.x', 1));
  const waiting = Array.from({ length: 64 }, (_, index) => query('slow.example', 100 + index));
  const arrived = new Promise((resolve) => {
    let count = 0;
    outside.on('message', () => {
      count += 1;
      if (count === waiting.length) resolve(undefined);
    });
  });
  for (const message of waiting) loud.send(message);
  await arrived;
  expect((await loud.ask(query('slow.example', 2)))[3]! & 15).toBe(5);
  outside.on('message', (message, from) => outside.send(message, from.port, from.address));
  expect((await other.ask(query('www.example', 3)))[3]! & 15).toBe(0);
});

test('by TCP too: its names, others from outside, and one question after the other', async () => {
  serve('vm-1', {});
  outsideByTcp.on('connection', (connection) =>
    connection.on('data', (message) => connection.write(framed(Buffer.concat([message.subarray(2), Buffer.from('answered')])))),
  );
  await (await client(guest)).ask(query('vm-1.x', 9));
  const connection = connect({ host: gateway, port, localAddress: guest });
  open.push({ close: () => connection.destroy() });
  connection.write(Buffer.concat([framed(query('vm-1.x', 1)), framed(query('www.example', 2))]));
  let received = Buffer.alloc(0);
  for await (const piece of connection) {
    received = Buffer.concat([received, piece as Buffer]);
    if (received.toString('latin1').endsWith('answered')) break;
  }
  expect([received.readUInt16BE(2), received.readUInt16BE(2 + received.readUInt16BE(0) + 2)]).toEqual([1, 2]);
});

test('a TCP connection from elsewhere is closed', async () => {
  serve('vm-1', {});
  await (await client(guest)).ask(query('vm-1.x', 9));
  const connection = connect({ host: gateway, port, localAddress: stranger });
  connection.on('error', () => undefined);
  await once(connection, 'close');
});

test('it listens as long as a port is to ask there, and again when an address comes back', async () => {
  serve('vm-1', {});
  const one = await client(guest);
  await one.ask(query('vm-1.x', 1));
  serve('vm-1', undefined);
  const connection = connect({ host: gateway, port, localAddress: guest });
  expect(await once(connection, 'error')).toMatchObject([{ code: 'ECONNREFUSED' }]);
  serve('vm-1', { hostname: 'again' });
  expect((await one.ask(query('again.x', 2)))[3]! & 15).toBe(0);
});

test('a guest has its shares, and no more', () => {
  const shares = createShares(2);
  expect([shares.take('a'), shares.take('a'), shares.take('a'), shares.take('b')]).toEqual([true, true, false, true]);
  shares.giveBack('a');
  expect(shares.take('a')).toBe(true);
});
