// A netlink dump read in slices: the kernel goes on only as far as it is read, so the event loop has its turn in between.
import { setImmediate } from 'node:timers/promises';
import { headerLength, readI32, readU16, readU32 } from './attributes.ts';
import { errno, errnoName, receive, send } from './libc.ts';
import { NetlinkError } from './socket.ts';

/** The kernel fills datagrams of at most 32 KB. */
const receiveBytes = 64 * 1024;
const [messageError, messageDone] = [2, 3];
const emptyReadsAtMost = 1000;

/** The kernel has answered, and its answer is a refusal: the one failure of a dump whose code something may be decided by. */
export class DumpRefused extends NetlinkError {}

/**
 * Sends the request of a dump on a descriptor that nothing else uses, and calls `visit` for each answer, of netlink type `type`: the bytes of `buffer` from `start` to
 * `end` are its payload, valid during the call. What changes meanwhile may be seen or not. What `visit` throws is thrown at the end: a dump that is not read to its end
 * would be in the way of the next. Throws NetlinkError when the kernel refuses or fails; `isOpen` says whether to go on at all.
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
    // A datagram is a slice: 170 flows or 500 routes.
    const length = receive(fd, buffer);
    if (typeof length === 'number') {
      if (visitAll(length)) {
        if (broken) throw broken.error;
        return;
      }
    } else if (length !== undefined || ++empty > emptyReadsAtMost) {
      // The kernel goes on with a dump while it is read; where it could not, for want of memory, it may later. So nothing there is no failure at once.
      throw failed('read', length ?? 'ETIMEDOUT');
    }
    await setImmediate();
    if (!isOpen()) throw new NetlinkError('EBADF', 'a netlink dump was given up: its socket is closed');
  }

  /** True at the end of the dump. */
  function visitAll(length: number): boolean {
    for (let at = 0; at + headerLength <= length; ) {
      const messageLength = readU32(buffer, at);
      if (messageLength < headerLength || at + messageLength > length) throw new NetlinkError('EMSGSIZE', 'a message of a netlink dump came in pieces');
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
