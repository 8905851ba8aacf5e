// Reads a netlink dump in slices. The kernel continues only as far as it is read, so the event loop runs in between.
import { setImmediate } from 'node:timers/promises';
import { headerLength, readI32, readU16, readU32 } from './attributes.ts';
import { errno, errnoName, receive, send } from './libc.ts';
import { NetlinkError } from './socket.ts';

/** Datagrams of a dump have at most 32 KB. */
const receiveBytes = 64 * 1024;
const [messageError, messageDone] = [2, 3];
const emptyReadsAtMost = 1000;

/** The kernel answered with a refusal. This is the only failure of a dump whose code decisions may depend on. */
export class DumpRefused extends NetlinkError {}

/**
 * Requests a dump on a descriptor that nothing else uses, and calls `visit` for each answer of netlink type `type`. The bytes of `buffer` from `start` to
 * `end` are its payload; they are valid during the call. Changes during the dump may be seen or not. An error that `visit` throws is thrown at the end, because a dump that is not
 * read to its end would disturb the next one. Throws NetlinkError when the kernel refuses or fails. `isOpen` tells whether to continue.
 */
export async function readDump(
  fd: number,
  request: Uint8Array,
  visit: (buffer: Uint8Array, start: number, end: number, type: number) => void,
  isOpen: () => boolean,
): Promise<void> {
  const sequence = readU32(request, 8);
  const buffer = new Uint8Array(receiveBytes);
  if (send(fd, request, request.length, 0) < 0) throw failed('asked for', errnoName(errno()));
  let empty = 0;
  let broken: { readonly error: unknown } | undefined;
  for (;;) {
    // Each slice is one datagram: 170 flows or 500 routes.
    const length = receive(fd, buffer);
    if (typeof length === 'number') {
      if (visitAll(length)) {
        if (broken) throw broken.error;
        return;
      }
    } else if (length !== undefined || ++empty > emptyReadsAtMost) {
      // The kernel continues a dump when it is read, and may be delayed by a lack of memory. So an empty queue is not a failure at once.
      throw failed('read', length ?? 'ETIMEDOUT');
    }
    await setImmediate();
    if (!isOpen()) throw new NetlinkError('EBADF', 'a netlink dump was ended: its socket was closed');
  }

  /** Visits the messages of a datagram; returns true at the end of the dump. */
  function visitAll(length: number): boolean {
    for (let at = 0; at + headerLength <= length; ) {
      const messageLength = readU32(buffer, at);
      if (messageLength < headerLength || at + messageLength > length) throw new NetlinkError('EMSGSIZE', 'a message of a netlink dump was truncated');
      if (readU32(buffer, at + 8) === sequence) {
        const type = readU16(buffer, at + 4);
        if (type === messageError || type === messageDone) {
          const error = messageLength >= headerLength + 4 ? readI32(buffer, at + headerLength) : 0;
          if (error !== 0) throw new DumpRefused(errnoName(error), `the kernel refuses a netlink dump: ${errnoName(error)}`);
          return true;
        }
        try {
          if (!broken) visit(buffer, at + headerLength, at + messageLength, type);
        } catch (error) {
          broken = { error };
        }
      }
      at += (messageLength + 3) & ~3;
    }
    return false;
  }

  function failed(what: string, code: string): NetlinkError {
    return new NetlinkError(code, `a netlink dump cannot be ${what}: ${code}`);
  }
}
