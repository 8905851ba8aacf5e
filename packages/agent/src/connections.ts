// How many connections an HTTP server holds, whoever opens them and however slowly he speaks.
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { parseCidr } from '@calico-openstack/addresses';

type Connection = { readonly network: string; answering: number };

/**
 * At most `most` connections at once. One more costs the network that has most of them its oldest that is not being answered, or its oldest: so that somebody who opens as many as he
 * can takes them from himself, and from one address too, a client that asks at once is answered.
 */
export function boundConnections(server: Server, most: number): void {
  /** Oldest first. */
  const connections = new Map<Socket, Connection>();
  const countOf = new Map<string, number>();

  function count(network: string, more: 1 | -1): void {
    const now = (countOf.get(network) ?? 0) + more;
    if (now === 0) countOf.delete(network);
    else countOf.set(network, now);
  }

  function takeOne(): void {
    const largest = Math.max(...countOf.values());
    let oldest: Socket | undefined;
    for (const [socket, { network, answering }] of connections) {
      if (countOf.get(network) !== largest) continue;
      oldest ??= socket;
      if (answering > 0) continue;
      socket.destroy();
      forget(socket);
      return;
    }
    if (!oldest) return;
    oldest.destroy();
    forget(oldest);
  }

  /** At once, not when it tells that it is closed. */
  function forget(socket: Socket): void {
    const connection = connections.get(socket);
    if (connection && connections.delete(socket)) count(connection.network, -1);
  }

  server.on('connection', (socket: Socket) => {
    const connection = { network: networkOf(socket.remoteAddress ?? ''), answering: 0 };
    socket.once('close', () => forget(socket));
    if (connections.size >= most) takeOne();
    connections.set(socket, connection);
    count(connection.network, 1);
  });
  server.on('request', ({ socket }, response) => {
    const connection = connections.get(socket);
    if (!connection) return;
    connection.answering += 1;
    response.once('close', () => (connection.answering -= 1));
  });
}

/**
 * The network that one client can be assumed to have: an IPv4 address, or the /64 of an IPv6 address.
 * @param address as a socket reports it: with a zone, or IPv4-mapped
 */
export function networkOf(address: string): string {
  const mapped = /^::ffff:([0-9.]+)$/i.exec(address);
  if (mapped) return mapped[1]!;
  if (!address.includes(':')) return address;
  return parseCidr(`${address.split('%')[0]}/64`) ?? address;
}
