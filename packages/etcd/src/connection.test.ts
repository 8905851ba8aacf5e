import { once } from 'node:events';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { systemClock } from '@calico-openstack/agent/clock';
import { describe, expect, test } from 'vitest';
import { openConnection } from './connection.ts';
import { emptyRequest, methods } from './messages.ts';

test('a call whose time is over reports why an endpoint could not be reached, not that its last attempt had too little time', async () => {
  const held = new Set<Socket>();
  let attempts = 0;
  const server = createServer((socket) => {
    held.add(socket);
    attempts += 1;
    if (attempts === 1) socket.destroy(); // later attempts get no answer until the call's time is over
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const connection = openConnection({ endpoints: [`http://127.0.0.1:${port}`], timeoutMs: 1_000 }, systemClock, () => 0);
  const call = connection.call(methods.status, emptyRequest, { what: 'ask for its status', repeatable: true });
  await expect(call).rejects.toMatchObject({ code: 'ETCD_UNAVAILABLE', message: expect.not.stringContaining('no connection within') });
  expect(attempts).toBeGreaterThan(1);
  connection.close();
  for (const socket of held) socket.destroy();
  server.close();
});

describe('an answer that comes slowly', () => {
  const trailers = { 'grpc-status': '0' };
  /** `StatusResponse` with a version of 3 characters, as gRPC frames it. */
  const answer = Buffer.from([0, 0, 0, 0, 5, 0x12, 3, 0x33, 0x2e, 0x34]);

  /** Calls a server that sends this many bytes of its answer, one every 200 ms, and then nothing more. */
  async function asked(bytes: number): Promise<{ version: string }> {
    const server = createHttp2Server().listen(0, '127.0.0.1');
    server.on('stream', (stream) => {
      stream.on('error', () => {}); // the client may go away
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers(trailers));
      let sent = 0;
      const timer = setInterval(() => {
        if (sent < bytes) stream.write(answer.subarray(sent, ++sent));
        else if (bytes === answer.length) stream.end();
      }, 200);
      stream.on('close', () => clearInterval(timer));
    });
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const connection = openConnection({ endpoints: [`http://127.0.0.1:${port}`], timeoutMs: 1_500 });
    try {
      return await connection.call(methods.status, emptyRequest, { what: 'ask for its status', repeatable: true });
    } finally {
      connection.close();
      server.close();
    }
  }

  test('is waited for while pieces of it arrive, although the whole takes longer than the time-out', async () => {
    expect(await asked(answer.length)).toMatchObject({ version: '3.4' });
  });

  test('that stops before its end is reported as a failure', async () => {
    await expect(asked(4)).rejects.toMatchObject({ code: 'ETCD_TIMEOUT', message: expect.stringContaining('fell silent within its answer') });
  });
});

describe('an endpoint that does not serve is left, so that the next call goes to another', () => {
  /** `StatusResponse` with the version 3.4, as gRPC frames it. */
  const answer = Buffer.from([0, 0, 0, 0, 5, 0x12, 3, 0x33, 0x2e, 0x34]);
  const status = { what: 'ask for its status', repeatable: false };

  /** Two endpoints, the first of which treats calls like this; the second answers. Says whom a call came to. */
  async function twoEndpoints(treat: (stream: ServerHttp2Stream) => void, timeoutMs = 300) {
    const asked: string[] = [];
    const serve = async (name: string, onStream: (stream: ServerHttp2Stream) => void) => {
      const server = createHttp2Server().listen(0, '127.0.0.1');
      server.on('stream', (stream) => {
        asked.push(name);
        stream.on('error', () => {}); // the client may go away
        onStream(stream);
      });
      await once(server, 'listening');
      return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
    };
    const first = await serve('first', treat);
    const second = await serve('second', (stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(answer);
    });
    const connection = openConnection({ endpoints: [first.url, second.url], timeoutMs }, systemClock, () => 0);
    return {
      asked,
      connection,
      close() {
        connection.close();
        first.server.close();
        second.server.close();
      },
    };
  }

  test.each<[string, string, (stream: ServerHttp2Stream) => void]>([
    ['is silent', 'ETCD_TIMEOUT', () => undefined],
    ['says that it is unavailable', 'ETCD_UNAVAILABLE', (stream) => stream.respond({ ':status': 200, 'grpc-status': '14' }, { endStream: true })],
    ['breaks off', 'ETCD_UNAVAILABLE', (stream) => stream.close(2)],
  ])('one that %s', async (_, code, treat) => {
    const { asked, connection, close } = await twoEndpoints(treat);
    await expect(connection.call(methods.status, emptyRequest, status)).rejects.toMatchObject({ code });
    expect(await connection.call(methods.status, emptyRequest, status)).toMatchObject({ version: '3.4' });
    expect(await connection.call(methods.status, emptyRequest, status)).toMatchObject({ version: '3.4' });
    expect(asked).toEqual(['first', 'second', 'second']);
    close();
  });

  test('a call that may be sent twice goes to the other by itself, before its time is over', async () => {
    const { asked, connection, close } = await twoEndpoints(() => undefined, 2_000);
    expect(await connection.call(methods.status, emptyRequest, { ...status, repeatable: true })).toMatchObject({ version: '3.4' });
    expect(asked).toEqual(['first', 'second']);
    close();
  });

  test('one that refuses what it is asked stays in use', async () => {
    const { asked, connection, close } = await twoEndpoints((stream) => stream.respond({ ':status': 200, 'grpc-status': '7' }, { endStream: true }));
    for (let count = 0; count < 2; count += 1)
      await expect(connection.call(methods.status, emptyRequest, status)).rejects.toMatchObject({ code: 'ETCD_DENIED' });
    expect(asked).toEqual(['first', 'first']);
    close();
  });

  test('several calls that fail together leave it once', async () => {
    const { asked, connection, close } = await twoEndpoints(() => undefined);
    const calls = [1, 2].map(() => connection.call(methods.status, emptyRequest, status));
    for (const { status: end } of await Promise.allSettled(calls)) expect(end).toBe('rejected');
    await connection.call(methods.status, emptyRequest, status);
    expect(asked).toEqual(['first', 'first', 'second']);
    close();
  });

  test('a stream that is given up because it is silent is opened to the other one next', async () => {
    const { asked, connection, close } = await twoEndpoints(() => undefined);
    const events = { onAnswer: () => undefined, onLost: () => undefined };
    const stream = await connection.stream(methods.status, 'watch', events);
    stream.abandon();
    (await connection.stream(methods.status, 'watch', events)).close();
    expect(await connection.call(methods.status, emptyRequest, status)).toMatchObject({ version: '3.4' });
    expect(asked.at(-1)).toBe('second');
    close();
  });
});
