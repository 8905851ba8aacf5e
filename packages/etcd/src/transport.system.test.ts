import { createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { type Call, type CallEvents, GrpcError, openTransport, type Transport } from './transport.ts';

let server: Http2Server | undefined;
let transport: Transport | undefined;
afterEach(() => {
  transport?.close();
  server?.close();
});

/** A server that handles every call with this function, and a connection to it. */
async function served(onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void): Promise<Transport> {
  const opened = createServer();
  server = opened;
  opened.on('stream', (stream, asked) => {
    stream.on('error', () => {}); // the client may go away
    onStream(stream, asked);
  });
  await new Promise<void>((resolve) => opened.listen(0, '127.0.0.1', resolve));
  transport = await openTransport({ host: '127.0.0.1', port: (opened.address() as AddressInfo).port }, 3_000, new AbortController().signal);
  return transport;
}

const frame = (text: string, compressed = 0): Buffer => Buffer.concat([Buffer.from([compressed, 0, 0, 0, text.length]), Buffer.from(text)]);
const headers = { ':status': 200, 'content-type': 'application/grpc' };

/** The messages and the end of a call. */
function called(over: Transport, start: (call: Call) => void = (call) => call.end()): Promise<{ messages: string[]; error: GrpcError | undefined }> {
  return new Promise((resolve) => {
    const messages: string[] = [];
    const events: CallEvents = { onMessage: (message) => messages.push(message.toString()), onEnd: (error) => resolve({ messages, error }) };
    start(over.call('/x/Y', {}, events));
  });
}
const answer =
  (trailers: Record<string, string>, ...messages: Buffer[]) =>
  (stream: ServerHttp2Stream) => {
    stream.respond(headers, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    for (const message of messages) stream.write(message);
    stream.end();
  };

test('messages arrive, then the end', async () => {
  const over = await served(answer({ 'grpc-status': '0' }, frame('a'), frame(''), frame('b')));
  expect(await called(over)).toEqual({ messages: ['a', '', 'b'], error: undefined });
});

test.each<[string, (stream: ServerHttp2Stream) => void, number, RegExp]>([
  ['a status in the trailers', answer({ 'grpc-status': '11', 'grpc-message': 'compacted%20%C3%BC%' }), 11, /^compacted%20%C3%BC%$/],
  ['a status whose text is encoded', answer({ 'grpc-status': '7', 'grpc-message': 'no%20role' }), 7, /^no role$/],
  ['a status without any message', (stream) => stream.respond({ ...headers, 'grpc-status': '16' }, { endStream: true }), 16, /^$/],
  ['another HTTP status', (stream) => stream.respond({ ':status': 502 }, { endStream: true }), 14, /HTTP status 502/],
  ['an end without a status', answer({}), 14, /without a status/],
  ['a reset', (stream) => stream.close(2), 14, /INTERNAL_ERROR/],
  ['a connection that breaks', (stream) => stream.session?.destroy(), 14, /./],
  ['a compressed message', answer({ 'grpc-status': '0' }, frame('a', 1)), 14, /compressed/],
])('%s is an error', async (_, onStream, status, message) => {
  const { error } = await called(await served(onStream));
  expect([error instanceof GrpcError, error?.status, error?.message]).toEqual([true, status, expect.stringMatching(message)]);
});

test('a call that both ends keep open ends when the server ends it', async () => {
  const over = await served((stream) => stream.on('data', () => answer({ 'grpc-status': '0' }, frame('a'))(stream)));
  expect(await called(over, (call) => call.send(Buffer.from('x')))).toEqual({ messages: ['a'], error: undefined });
});

test('after a GOAWAY the connection takes no new call, and the call under way completes', async () => {
  const over = await served((stream) => {
    stream.session?.goaway();
    stream.session?.once('close', () => {});
    setImmediate(() => answer({ 'grpc-status': '0' }, frame('a'))(stream));
  });
  expect(await called(over)).toEqual({ messages: ['a'], error: undefined });
  expect(over.usable).toBe(false);
  expect((await called(over)).error?.status).toBe(14);
});

test('a cancelled call reports nothing more', async () => {
  const heard: string[] = [];
  const over = await served((stream) => stream.on('close', () => heard.push('server: closed')));
  const cancelled = over.call('/x/Y', {}, { onMessage: () => heard.push('message'), onEnd: () => heard.push('end') });
  cancelled.send(Buffer.from('x'));
  await new Promise<void>((resolve) => server?.once('stream', () => resolve()));
  cancelled.cancel();
  over.close();
  await new Promise<void>((resolve) => server?.close(() => resolve()));
  expect(heard).toEqual(['server: closed']);
});

describe('while a call is under way', () => {
  const often = { intervalMs: 50, timeoutMs: 200 };
  /** The server is in this process. When that stands still between a question and its answer, the answer comes late, which is not the client's fault. */
  const patiently = { intervalMs: 150, timeoutMs: 1_000 };
  const lifePath = '/grpc.health.v1.Health/Check';
  const open = (port: number, life: typeof often): Promise<Transport> => openTransport({ host: '127.0.0.1', port }, 3_000, new AbortController().signal, life);

  /** A server that handles health checks with `onLife` and other calls with `onCall`. `seen` counts the health checks and the pings; `enough` resolves at the eighth check. */
  async function waiting(life: typeof often, onLife: (stream: ServerHttp2Stream) => void, onCall: (stream: ServerHttp2Stream) => void = () => {}) {
    const seen = { asked: 0, pinged: 0 };
    const enough = Promise.withResolvers<void>();
    const first = await served((stream, headers) => {
      if (headers[':path'] !== lifePath) return onCall(stream);
      seen.asked += 1;
      if (seen.asked === 8) enough.resolve();
      onLife(stream);
    });
    first.close();
    server?.on('session', (session) =>
      session.on('ping', () => {
        seen.pinged += 1;
      }),
    );
    transport = await open((server?.address() as AddressInfo | undefined)?.port ?? 0, life);
    const ended = called(transport, () => {});
    return { seen, enough: enough.promise, ended };
  }
  const unknown = (stream: ServerHttp2Stream): void => stream.respond({ ...headers, 'grpc-status': '12' }, { endStream: true });

  test('the peer is asked for a sign of life by a call, whether it has the health service or not, and never pinged', async () => {
    const { seen, enough } = await waiting(patiently, unknown);
    await enough;
    expect([transport?.usable, seen.pinged]).toEqual([true, 0]);
  });

  test('any byte is a sign of life, although the health check’s answer waits behind it', async () => {
    const { enough } = await waiting(
      patiently,
      () => {},
      (stream) => {
        stream.respond(headers);
        const trickle = setInterval(() => stream.write(frame('')), 20);
        stream.on('close', () => clearInterval(trickle));
      },
    );
    await enough;
    expect(transport?.usable).toBe(true);
  });

  test('the connection to a silent peer fails', async () => {
    const { ended } = await waiting(often, () => {});
    expect((await ended).error?.message).toMatch(/fallen silent/);
    expect(transport?.usable).toBe(false);
  });

  test('a peer that answered while this process stood still is alive', async () => {
    const { seen, enough } = await waiting(often, unknown);
    for (let round = 0; round < 3; round += 1) {
      const asked = seen.asked;
      while (seen.asked === asked) await new Promise((resolve) => setImmediate(resolve));
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
    }
    await enough;
    expect(transport?.usable).toBe(true);
  });
});

test.each<[string, () => Promise<Transport>, RegExp]>([
  ['nobody there', () => openTransport({ host: '127.0.0.1', port: 1 }, 3_000, new AbortController().signal), /ECONNREFUSED/],
  ['no wish to connect any more', () => openTransport({ host: '127.0.0.1', port: 1 }, 3_000, AbortSignal.abort()), /closed/],
])('%s is a reason', async (_, open, reason) => {
  await expect(open()).rejects.toThrow(reason);
});
