import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Peer, type PeerEvents, Refusal } from './peer.ts';
import { listen } from './server.ts';

let directory: string;
let path: string;
const closing: (() => unknown)[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wire-'));
  path = join(directory, 'run', 'sock');
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  rmSync(directory, { recursive: true });
});

async function serve(events: Partial<PeerEvents> = {}) {
  const server = await listen(path, { onReady: () => {}, onCall: async () => null, onGone: () => {}, onMisbehaved: () => {}, ...events });
  closing.push(() => server.close());
  return server;
}

function client() {
  const socket: Socket = connect(path);
  closing.push(() => socket.destroy());
  socket.on('error', () => {});
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  return {
    socket,
    say: (message: object | string) => socket.write(`${typeof message === 'string' ? message : JSON.stringify(message)}\n`),
    hear: async () => {
      const { value, done } = await lines.next();
      return done ? 'closed' : JSON.parse(value);
    },
  };
}
const hello = { hello: { protocol: 1, role: 'api', pid: 7 } };

test('a caller is greeted, answered, and asked back while its call is under way', async () => {
  await serve({
    onCall: async (peer, method, params) => ({ method, params, asked: await peer.call('rows', { ports: ['p'] }, 10_000) }),
  });
  const { say, hear } = client();
  say(hello);
  expect(await hear()).toEqual({ hello: { protocol: 1 } });
  say({ call: 5, method: 'after', params: { kind: 'port' } });
  expect(await hear()).toEqual({ call: 1, method: 'rows', params: { ports: ['p'] } });
  say({ reply: 1, result: { ports: [] } });
  expect(await hear()).toEqual({ reply: 5, result: { method: 'after', params: { kind: 'port' }, asked: { ports: [] } } });
});

test('a refusal reaches the caller with its code; any other error as INTERNAL', async () => {
  let error: Error = new Refusal('REFUSED', 'no');
  await serve({ onCall: () => Promise.reject(error) });
  const { say, hear } = client();
  say(hello);
  await hear();
  say({ call: 1, method: 'x', params: null });
  expect(await hear()).toEqual({ reply: 1, error: { code: 'REFUSED', message: 'no' } });
  error = new TypeError('oops');
  say({ call: 2, method: 'x', params: null });
  expect(await hear()).toEqual({ reply: 2, error: { code: 'INTERNAL', message: 'oops' } });
});

test("a worker's own error, its silence and its death each end the question", async () => {
  const ready = Promise.withResolvers<Peer>();
  const gone = Promise.withResolvers<void>();
  await serve({ onReady: ready.resolve, onGone: () => gone.resolve() });
  const { say, hear, socket } = client();
  say(hello);
  await hear();
  const peer = await ready.promise;
  const failed = peer.call('rows', {}, 10_000);
  expect(await hear()).toMatchObject({ call: 1 });
  say({ reply: 1, error: { code: 'DBError', message: 'gone away' } });
  await expect(failed).rejects.toMatchObject({ code: 'DBError' });
  await expect(peer.call('rows', {}, 1)).rejects.toMatchObject({ code: 'PEER_TIMEOUT' });
  const interrupted = peer.call('rows', {}, 10_000);
  socket.destroy();
  await expect(interrupted).rejects.toMatchObject({ code: 'PEER_GONE' });
  await gone.promise;
  expect(peer.gone).toBe(true);
  await expect(peer.call('rows', {}, 1000)).rejects.toMatchObject({ code: 'PEER_GONE' });
});

test.each([
  ['another version', { hello: { protocol: 2, role: 'api', pid: 1 } }, /install both from one release/],
  ['no hello', { call: 1, method: 'after', params: {} }, /hello/],
  ['no JSON', 'GET / HTTP/1.1', /not JSON/],
])('who begins with %s is told why, and disconnected', async (_, first, reason) => {
  await serve();
  const { say, hear } = client();
  say(first);
  expect(await hear()).toEqual({ error: { code: 'PROTOCOL', message: expect.stringMatching(reason) } });
  expect(await hear()).toBe('closed');
});

test("only owner and group may connect; a dead daemon's socket is replaced, a living one's is not", async () => {
  await serve();
  expect(statSync(path).mode & 0o777).toBe(0o660);
  await expect(listen(path, { onReady: () => {}, onCall: async () => null, onGone: () => {}, onMisbehaved: () => {} })).rejects.toMatchObject({
    code: 'ALREADY_RUNNING',
  });
  await closing.pop()?.();
  const killed = "require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))";
  spawnSync(process.execPath, ['-e', killed, path]);
  expect(statSync(path).isSocket()).toBe(true);
  await serve();
  const { say, hear } = client();
  say(hello);
  expect(await hear()).toEqual({ hello: { protocol: 1 } });
});

test('a file at the place of the socket stays, because the option names the wrong path', async () => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, 'precious');
  await expect(serve()).rejects.toMatchObject({ code: 'SOCKET_UNUSABLE', message: expect.stringContaining('correct neutron_driver_socket') });
  expect(readFileSync(path, 'utf8')).toBe('precious');
});

test('a place where no socket can be is refused with what to do', async () => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, '');
  await expect(
    listen(join(path, 'below-a-file'), { onReady: () => {}, onCall: async () => null, onGone: () => {}, onMisbehaved: () => {} }),
  ).rejects.toMatchObject({
    code: 'SOCKET_UNUSABLE',
    message: expect.stringMatching(/cannot listen at .*below-a-file/),
  });
});
