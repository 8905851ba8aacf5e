// The Unix socket on which the daemon listens for Neutron's processes.
import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { dirname } from 'node:path';
import { fileReason, makeDirectory, StartError } from '@calico-openstack/agent';
import { type PeerEvents, servePeer } from './peer.ts';

/** The greatest length of a Unix socket's path. */
const maxPathBytes = 107;

/**
 * Listens on the socket. The socket of a killed daemon is replaced, that of a running one is not. Only its owner and group may connect: they can announce
 * changes, but read nothing.
 * @throws StartError SOCKET_PATH, SOCKET_UNUSABLE or ALREADY_RUNNING
 */
export async function listen(path: string, events: PeerEvents): Promise<{ close(): Promise<void> }> {
  if (Buffer.byteLength(path) > maxPathBytes)
    throw new StartError('SOCKET_PATH', `neutron_driver_socket ${path} is longer than ${maxPathBytes} bytes; choose a shorter one`);
  const unusable = (error: unknown): StartError =>
    new StartError('SOCKET_UNUSABLE', `cannot listen at ${path}: ${fileReason(error)}; see that its directory can be written`, { cause: error });
  try {
    makeDirectory(dirname(path));
  } catch (error) {
    throw unusable(error);
  }
  if (await answers(path))
    throw new StartError('ALREADY_RUNNING', `another calico-neutron-driver answers at ${path}; stop it first, or give this one another neutron_driver_socket`);
  try {
    removeSocket(path);
  } catch (error) {
    throw error instanceof StartError ? error : unusable(error);
  }
  const sockets = new Set<{ destroy(): void }>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    servePeer(socket, events);
  });
  const mask = process.umask(0o117); // the socket is never open to others, not even until chmod
  try {
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve));
  } catch (error) {
    throw unusable(error);
  } finally {
    process.umask(mask);
  }
  chmodSync(path, 0o660);
  return {
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Removes a socket that a killed daemon has left. Whatever else is at the path is somebody's file, and the option's value is wrong. */
function removeSocket(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return;
  if (!found.isSocket())
    throw new StartError(
      'SOCKET_UNUSABLE',
      `cannot listen at ${path}: there is something that is no socket, and it is left alone; correct neutron_driver_socket`,
    );
  unlinkSync(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
