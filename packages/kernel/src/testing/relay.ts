// A local port that is relayed to a port inside a namespace, so that a test outside can talk to a server inside.
import { createServer, type Server, Socket } from 'node:net';
import { addressBytes } from '@calico-openstack/addresses';
import koffi from 'koffi';
import { errno, errnoName, socket } from '../netlink/libc.ts';
import { inNamespace } from '../netlink/namespace.ts';

const libc = koffi.load('libc.so.6');
const connect: (fd: number, address: Uint8Array, length: number) => number = libc.func('int connect(int, const uint8_t *, uint32_t)');

const [AF_INET, AF_INET6, SOCK_STREAM, SOCK_CLOEXEC] = [2, 10, 1, 0o2000000];

/** Connects by TCP to a port of an address inside the namespace. Throws when nobody listens there. */
export function connectInside(namespace: string, port: number, host = '127.0.0.1'): Socket {
  const family = host.includes(':') ? AF_INET6 : AF_INET;
  const address = new Uint8Array(family === AF_INET ? 16 : 28);
  const view = new DataView(address.buffer);
  view.setUint16(0, family, true);
  view.setUint16(2, port);
  address.set(addressBytes(host), family === AF_INET ? 4 : 8);
  const fd = inNamespace(namespace, () => {
    const opened = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (opened < 0 || connect(opened, address, address.length) < 0) throw new Error(`cannot connect to port ${port} in ${namespace}: ${errnoName(errno())}`);
    return opened;
  });
  return new Socket({ fd });
}

/** Starts a relay into the namespace. Resolves with the port outside once it listens. */
export async function relayInto(namespace: string, port: number, host?: string): Promise<{ readonly port: number; close(): void }> {
  const open = new Set<Socket>();
  const server: Server = createServer((outside) => {
    let inside: Socket;
    try {
      inside = connectInside(namespace, port, host);
    } catch {
      outside.destroy();
      return;
    }
    for (const [from, to] of [
      [outside, inside],
      [inside, outside],
    ] as const) {
      from.setNoDelay(true);
      open.add(from);
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        open.delete(from);
        to.destroy();
      });
    }
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (!address || typeof address !== 'object') throw new Error('a TCP server without a port');
  return {
    port: address.port,
    close() {
      server.close();
      for (const each of open) each.destroy();
    },
  };
}
