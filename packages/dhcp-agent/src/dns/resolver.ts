// Answers guests' DNS queries, at the gateway's address on their taps. Names of the ports of their network are answered here, all others by Dnsmasq.
import { createSocket } from 'node:dgram';
import { createServer, type Socket } from 'node:net';
import { familyOf, type IpAddress, parseAddress } from '@calico-openstack/addresses';
import type { Logger } from '@calico-openstack/agent';
import type { DnsService } from '../service/service.ts';
import { type Forwarder, framed } from './forwarder.ts';
import { createShares, idleMs, mostConnections } from './limits.ts';
import { readQuery, responseCode, writeAnswer, writeRefusal } from './message.ts';
import { createPortNames } from './names.ts';

/** What the resolver works with. */
export type ResolverOptions = {
  readonly portOf: (tap: string) => DnsService | undefined;
  /** Resolves all other names; undefined when the operator has configured no servers for that. */
  readonly forwarder: Forwarder | undefined;
  /** Called for each query of a guest. */
  readonly asked?: (tap: string) => void;
  readonly log: Logger;
  readonly port?: number;
};

/** The resolver, which answers until it is closed. */
export interface Resolver {
  /** Says that a tap's port, or the addresses on the tap, were added, changed or removed. */
  changed(tap: string): void;
  close(): void;
}

/** The TTL of the addresses of ports. For so long a guest may not know of a new port with an old name. */
const ttlSeconds = 30;
/** After how long an address that could not be used is retried. It is retried at once when its tap changes. */
const retryMs = 5000;
const dnsPort = 53;

/** Starts the resolver. It listens at an address as soon as a port gets that address as its name server. */
export function openResolver({ portOf, forwarder, asked, log, port = dnsPort }: ResolverOptions): Resolver {
  const names = createPortNames();
  const connections = createShares(mostConnections);
  /** The addresses that the port of each tap has as name servers, the taps by these addresses, and the sockets that listen there. */
  const wanted = new Map<string, readonly IpAddress[]>();
  const users = new Map<IpAddress, Set<string>>();
  const listeners = new Map<IpAddress, Listener>();
  /** The addresses that cannot be used, with the reason that was logged. */
  const refused = new Map<IpAddress, string>();

  /**
   * The tap of the guest that queries from an address; undefined for an address that is no guest's, or whose guest has other name servers. Nobody else is answered, so this is no open
   * resolver, wherever a packet comes from.
   */
  function guestAt(source: string): string | undefined {
    const address = parseAddress(source);
    const tap = address === undefined ? undefined : names.tapOf(address);
    return tap !== undefined && wanted.has(tap) ? tap : undefined;
  }

  /** Answers a message, at once or when Dnsmasq has answered. `answered` is called with undefined when there will be no answer. */
  function answer(tap: string, message: Uint8Array, by: 'udp' | 'tcp', answered: (answer: Uint8Array | undefined) => void): void {
    asked?.(tap);
    const query = readQuery(message);
    if (query === undefined || typeof query === 'number') {
      answered(query === undefined ? undefined : writeRefusal(message, query));
      return;
    }
    const recursive = forwarder !== undefined;
    const answers = names.find(tap, query);
    const isPassedOn = !answers && (by === 'udp' ? forwarder?.askUdp(tap, message, answered) : forwarder?.askTcp(tap, message, answered));
    if (isPassedOn) return;
    const refusal = { code: responseCode.refused, recursive };
    answered(writeAnswer(query, answers ? { answers, ttlSeconds, recursive, ...(by === 'tcp' && { longestBytes: 0xffff }) } : refusal));
  }

  function listen(address: IpAddress): void {
    const told = refused.get(address);
    const failed = (error: NodeJS.ErrnoException): void => {
      if (listeners.get(address) !== listener) return;
      listener.close();
      listeners.delete(address);
      // Either the address is not on its tap yet, because it is added after the port is served, or the tap is gone. In both cases a change of the tap follows.
      if (error.code !== 'EADDRNOTAVAIL' && error.code !== told)
        log.warn(
          { err: error, address },
          `cannot answer guests’ DNS at ${address}: another program uses its port ${port}, or the kernel refuses it; retrying; end or move that program`,
        );
      refused.set(address, error.code ?? error.message);
    };
    const listener = startListener({ address, port, guestAt, answer, connections, failed, ready: () => refused.delete(address) });
    listeners.set(address, listener);
  }

  function leave(tap: string, address: IpAddress): void {
    users.get(address)?.delete(tap);
    if (users.get(address)?.size !== 0) return;
    users.delete(address);
    listeners.get(address)?.close();
    listeners.delete(address);
    refused.delete(address);
  }

  function retry(): void {
    for (const address of refused.keys()) if (!listeners.has(address)) listen(address);
  }

  const retrying = setInterval(retry, retryMs);
  retrying.unref();
  return {
    changed(tap) {
      const service = portOf(tap);
      names.set(tap, service);
      const [before, now] = [wanted.get(tap) ?? [], service?.resolvers ?? []];
      if (now.length > 0) wanted.set(tap, now);
      else wanted.delete(tap);
      for (const address of now) {
        users.set(address, (users.get(address) ?? new Set()).add(tap));
        if (!listeners.has(address)) listen(address);
      }
      for (const address of before) if (!now.includes(address)) leave(tap, address);
    },
    close() {
      clearInterval(retrying);
      for (const listener of listeners.values()) listener.close();
      forwarder?.close();
    },
  };
}

type Listener = { close(): void };
type ListenerOptions = {
  readonly address: IpAddress;
  readonly port: number;
  readonly guestAt: (source: string) => string | undefined;
  readonly answer: (tap: string, message: Uint8Array, by: 'udp' | 'tcp', answered: (answer: Uint8Array | undefined) => void) => void;
  readonly connections: ReturnType<typeof createShares>;
  readonly failed: (error: NodeJS.ErrnoException) => void;
  readonly ready: () => void;
};

/** Listens at one address, by UDP and TCP. Sockets of this address alone leave the port of the host's other addresses to other programs, and answer from the address that was asked. */
function startListener({ address, port, guestAt, answer, connections, failed, ready }: ListenerOptions): Listener {
  const isIpv6 = familyOf(address) === 6;
  const udp = createSocket(isIpv6 ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' });
  udp.on('error', failed);
  udp.on('listening', ready);
  udp.on('message', (message, from) => {
    const tap = guestAt(from.address);
    if (tap !== undefined) answer(tap, message, 'udp', (text) => text && isOpen && udp.send(text, from.port, from.address, () => undefined));
  });
  udp.bind({ address, port, exclusive: true });

  const open = new Set<Socket>();
  const tcp = createServer((connection) => {
    const tap = guestAt(connection.remoteAddress ?? '');
    if (tap === undefined || !connections.take(tap)) {
      connection.destroy();
      return;
    }
    open.add(connection);
    connection.once('close', () => {
      open.delete(connection);
      connections.giveBack(tap);
    });
    readMessages(connection, (message, answered) => answer(tap, message, 'tcp', answered));
  });
  tcp.on('error', failed);
  tcp.listen({ host: address, port, exclusive: true, ipv6Only: isIpv6 });

  let isOpen = true;
  return {
    close() {
      if (!isOpen) return;
      isOpen = false;
      udp.close();
      tcp.close();
      for (const connection of open) connection.destroy();
    },
  };
}

/** Reads the messages of a connection, one at a time: the next one is read when the last one is answered. */
function readMessages(connection: Socket, answer: (message: Uint8Array, answered: (answer: Uint8Array | undefined) => void) => void): void {
  let [received, isBusy] = [Buffer.alloc(0), false];
  connection.setTimeout(idleMs, () => connection.destroy());
  connection.on('error', () => connection.destroy());
  connection.on('data', (piece) => {
    received = Buffer.concat([received, piece]);
    next();
  });
  function next(): void {
    if (isBusy || received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
    const message = received.subarray(2, 2 + received.readUInt16BE(0));
    received = received.subarray(2 + message.length);
    isBusy = true;
    connection.pause(); // so that no client fills the memory with queries
    answer(message, (text) => {
      isBusy = false;
      if (connection.destroyed) return;
      if (text === undefined) {
        connection.destroy();
        return;
      }
      connection.write(framed(text));
      connection.resume();
      next();
    });
  }
}
