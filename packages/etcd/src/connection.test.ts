import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { expect, test } from 'vitest';
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
