// Finds ports for servers that tests stop and start again at the same place.
import { createServer } from 'node:net';

/** The ports below those that Linux gives to outgoing connections (net.ipv4.ip_local_port_range, from 32768 on). */
const [firstPort, ports] = [10_000, 22_000] as const;

/**
 * Finds ports of 127.0.0.1 at which nobody listens. No outgoing connection gets them while their server is away: a client of that server that keeps trying would now and then get
 * the server's own port, connect to itself, and keep the server from coming back.
 */
export async function freePorts(count: number): Promise<readonly number[]> {
  const found = new Set<number>();
  while (found.size < count) {
    const port = firstPort + Math.floor(Math.random() * ports);
    if (await isFree(port)) found.add(port);
  }
  return [...found];
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
