import { once } from 'node:events';
import { get, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { networkOf } from './connections.ts';
import { type PageLimits, servePages } from './http.ts';

const limit = { timeout: 30_000 };
const limits: PageLimits = { connections: 20, headersMs: 60_000, requestMs: 60_000, idleMs: 60_000, headerBytes: 8192 };

let sockets: Socket[] = [];
let server: Server | undefined;
beforeEach(() => {
  sockets = [];
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  server?.close();
});

const large = 'x'.repeat(50_000_000);
async function serve(some: Partial<PageLimits> = {}): Promise<void> {
  const pages = new Map([['/metrics', () => ({ status: 200, body: 'felix_host 1' })]]);
  server = await servePages({ host: '127.0.0.1', port: 0 }, new Map([...pages, ['/large', () => ({ status: 200, body: large })]]), {
    limits: { ...limits, ...some },
  });
}
const port = (): number => (server!.address() as AddressInfo).port;
const held = (): Promise<number> => new Promise((resolve, reject) => server!.getConnections((error, count) => (error ? reject(error) : resolve(count))));

/** A connection that sends this much of a request and no more. */
async function halfOpen(from: string, text = 'GET /metrics HTTP/1.1\r\nHost: x\r\nX: '): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: port(), localAddress: from });
  sockets.push(socket);
  socket.on('error', () => undefined); // the server may reset the connection
  await once(socket, 'connect');
  socket.write(text);
  return socket;
}

const scrape = (from: string): Promise<string> =>
  new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port: port(), path: '/metrics', localAddress: from, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.once('end', () => resolve(body));
    }).once('error', reject);
  });

describe('while somebody holds as many half-sent requests open as he can', () => {
  test.each(['127.0.0.9', '127.0.0.66'])('a scrape from %s is answered each time, where the others come from 127.0.0.66', async (from) => {
    await serve();
    for (let round = 0; round < 10; round++) {
      await Promise.all(Array.from({ length: 30 }, () => halfOpen('127.0.0.66')));
      expect(await scrape(from)).toBe('felix_host 1');
    }
    expect(await held()).toBeLessThanOrEqual(limits.connections);
  });

  test('it is his own oldest that goes, not another’s', async () => {
    await serve();
    const other = await halfOpen('127.0.0.9');
    const his = [await halfOpen('127.0.0.66'), ...(await Promise.all(Array.from({ length: 30 }, () => halfOpen('127.0.0.66'))))];
    await vi.waitUntil(() => his.filter((socket) => socket.closed).length === his.length - (limits.connections - 1), limit);
    expect(his[0]!.closed).toBe(true);
    other.write('y\r\n\r\n');
    const [answer] = (await once(other, 'data')) as [Buffer];
    expect(answer.toString()).toContain('200 OK');
  });
});

test.each<[string, Partial<PageLimits>, string]>([
  ['does not end its headers', { headersMs: 100 }, 'GET /metrics HTTP/1.1\r\nX: '],
  ['does not end its request', { requestMs: 100, headersMs: 100 }, 'GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc'],
  ['says nothing at all', { idleMs: 100 }, ''],
])('a connection that %s is ended', async (_, some, text) => {
  await serve(some);
  const socket = await halfOpen('127.0.0.1', text);
  socket.resume();
  await once(socket, 'close');
  await vi.waitUntil(async () => (await held()) === 0, limit);
});

test('a client that does not read its answer is ended', async () => {
  await serve({ idleMs: 100 });
  const socket = await halfOpen('127.0.0.1', 'GET /large HTTP/1.1\r\nHost: x\r\n\r\n');
  socket.pause();
  await vi.waitUntil(async () => (await held()) === 0, limit);
});

test('headers beyond the bound are refused', async () => {
  await serve();
  const socket = await halfOpen('127.0.0.1', `GET /metrics HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(9000)}\r\n\r\n`);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  expect(answer.toString()).toContain('431');
});

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8::5:6', '2001:db8::/64'],
  ['fe80::1%eth0', 'fe80::/64'],
  ['::1', '::/64'],
  ['', ''],
])('%s counts for %s', (address, network) => expect(networkOf(address)).toBe(network));
