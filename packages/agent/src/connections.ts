// Limits how many connections an HTTP server holds, whoever opens them and however slowly the client sends.
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { parseCidr } from '@calico-openstack/addresses';

type Connection = { readonly network: string; readonly end: string; answering: number };

/** Identifies a connection of a server. With TLS a request has another socket than its connection, with the same ends. */
const endOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;

/**
 * Limits the server to `most` connections at once. When one more is opened, the network that has most of them loses one: its oldest connection without a request in progress, or else
 * its oldest. Somebody who opens as many as possible therefore loses connections of his own. A client with a quick request is answered even if it shares his address.
 */
export function boundConnections(server: Server, most: number): void {
  /** The open connections, the oldest first. */
  const connections = new Map<Socket, Connection>();
  const byEnd = new Map<string, Connection>();
  const countOf = new Map<string, number>();

  function count(network: string, more: 1 | -1): void {
    const now = (countOf.get(network) ?? 0) + more;
    if (now === 0) countOf.delete(network);
    else countOf.set(network, now);
  }

  function closeOne(): void {
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

  /** Stops counting a connection at once. Its `close` event comes too late: more connections may be opened before it. */
  function forget(socket: Socket): void {
    const connection = connections.get(socket);
    if (!connection) return;
    connections.delete(socket);
    if (byEnd.get(connection.end) === connection) byEnd.delete(connection.end);
    count(connection.network, -1);
  }

  server.on('connection', (socket: Socket) => {
    const connection = { network: networkOf(socket.remoteAddress ?? ''), end: endOf(socket), answering: 0 };
    socket.once('close', () => forget(socket));
    if (connections.size >= most) closeOne();
    connections.set(socket, connection);
    byEnd.set(connection.end, connection);
    count(connection.network, 1);
  });
  server.on('request', ({ socket }, response) => {
    const connection = byEnd.get(endOf(socket));
    if (!connection) return;
    connection.answering += 1;
    response.once('close', () => (connection.answering -= 1));
  });
}

/**
 * The network that one client can be assumed to control: an IPv4 address, or the /64 of an IPv6 address.
 * @param address as a socket reports it, which may have a zone or be IPv4-mapped
 */
export function networkOf(address: string): string {
  const mapped = /^::ffff:([0-9.]+)$/i.exec(address);
  if (mapped) return mapped[1]!;
  if (!address.includes(':')) return address;
  return parseCidr(`${address.split('%')[0]}/64`) ?? address;
}
