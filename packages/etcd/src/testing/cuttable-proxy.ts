// A TCP proxy on loopback whose connections can be cut or fall silent: the network between a client and its etcd, for tests.
import { connect, createServer, type Server, type Socket } from 'node:net';

export interface CuttableProxy {
  readonly port: number;
  /** Connections break, new ones are refused. */
  cut(): Promise<void>;
  /** Nothing gets through any more, and nobody is told: a black hole. */
  freeze(): void;
  /** As it should be again, on the same port. What was frozen stays lost. */
  restore(): Promise<void>;
  close(): Promise<void>;
}

export async function cuttableProxy(toPort: number, toHost = '127.0.0.1'): Promise<CuttableProxy> {
  const sockets = new Set<Socket>();
  let frozen = false;

  const server: Server = createServer((client) => {
    const upstream = connect(toPort, toHost);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.setNoDelay(true);
      from.on('data', (bytes) => {
        if (!frozen) to.write(bytes);
      });
      from.on('error', () => to.destroy()); // the other end hears of it as its peer's end
      from.on('close', () => {
        sockets.delete(from);
        if (!frozen) to.destroy();
      });
    }
  });
  const listen = (port: number): Promise<void> => new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  const breakAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const stop = (): Promise<void> =>
    new Promise((resolve) => {
      if (server.listening) server.close(() => resolve());
      else resolve();
      breakAll();
    });

  await listen(0);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  const { port } = address;
  return {
    port,
    cut: stop,
    freeze() {
      frozen = true;
    },
    async restore() {
      frozen = false;
      breakAll();
      if (!server.listening) await listen(port);
    },
    close: stop,
  };
}
