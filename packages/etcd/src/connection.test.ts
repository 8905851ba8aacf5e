import { once } from 'node:events';
import { createServer as createHttp2Server } from 'node:http2';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { systemClock } from './clock.ts';
import { openConnection } from './connection.ts';
import { emptyRequest, methods } from './messages.ts';

test('when its time is over, a call tells why an endpoint could not be reached, not that the last attempt had too little time left', async () => {
  const held = new Set<Socket>();
  let attempts = 0;
  const server = createServer((socket) => {
    held.add(socket);
    attempts += 1;
    if (attempts === 1) socket.destroy(); // the others are kept waiting until the time is over
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const connection = openConnection({ endpoints: [`http://127.0.0.1:${port}`], timeoutSeconds: 1 }, systemClock, () => 0);
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

  /** Asks a server that sends so many bytes of the answer, one every 200 ms, and then no more. */
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
    const connection = openConnection({ endpoints: [`http://127.0.0.1:${port}`], timeoutSeconds: 1.5 });
    try {
      return await connection.call(methods.status, emptyRequest, { what: 'ask for its status', repeatable: true });
    } finally {
      connection.close();
      server.close();
    }
  }

  test('is waited for as long as it comes, though all of it takes longer than a call has', async () => {
    expect(await asked(answer.length)).toMatchObject({ version: '3.4' });
  });

  test('and then no more is a failure, which says so', async () => {
    await expect(asked(4)).rejects.toMatchObject({ code: 'ETCD_TIMEOUT', message: expect.stringContaining('fell silent within its answer') });
  });
});
