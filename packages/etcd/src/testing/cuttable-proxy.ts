// A TCP proxy on loopback that stands for the network between a client and its etcd: tests cut its connections or silence them.
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePorts } from './free-ports.ts';

/** A running proxy. */
export interface CuttableProxy {
  readonly port: number;
  /** Breaks all connections and refuses new ones. */
  cut(): Promise<void>;
  /** Becomes a black hole: nothing passes any more, and no connection is closed. */
  freeze(): void;
  /** Accepts and passes connections again, on the same port. Frozen connections stay dead. */
  restore(): Promise<void>;
  close(): Promise<void>;
}

/** Starts a proxy on a free port of 127.0.0.1 to this port and host. */
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
      from.on('error', () => to.destroy()); // the other end sees its connection closed
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

  const [port] = (await freePorts(1)) as [number];
  await listen(port);
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
