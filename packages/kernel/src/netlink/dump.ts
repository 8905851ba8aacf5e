// Reads netlink dumps in another thread, so that the rest of the program runs meanwhile.
//
// The kernel composes a dump while it is requested and read. For that it walks the whole table, which takes ten milliseconds for connection tracking on a host with 262 144 buckets,
// however few connections there are. So these calls run in a thread of libuv's pool, and the event loop goes on meanwhile.
import { setImmediate } from 'node:timers/promises';
import { headerLength, readI32, readU16, readU32 } from './attributes.ts';
import { Datagrams } from './datagrams.ts';
import { close, errno, errnoName, receiveInThread, send, sendInThread } from './libc.ts';
import { NetlinkError } from './socket.ts';

const [messageError, messageDone] = [2, 3];
const emptyReadsAtMost = 1000;

/** The kernel answered with a refusal. This is the only failure of a dump whose code decisions may depend on. */
export class DumpRefused extends NetlinkError {}

/** Called for each answer of netlink type `type`. The bytes of `buffer` from `start` to `end` are its payload; they are valid during the call. */
export type DumpVisitor = (buffer: Uint8Array, start: number, end: number, type: number) => void;

/** A netlink socket that is used for dumps only. */
export class DumpSocket {
  readonly #fd: number;
  #datagrams: Datagrams | undefined;
  #open = true;
  /** The last dump. Dumps share a descriptor, so they run one after another. */
  #last: Promise<unknown> = Promise.resolve();

  /** @param fd a netlink socket that nothing else uses, and that this object closes */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Requests a dump and calls `visit` for each answer. The event loop runs after every sixteen datagrams. Changes during the dump may be seen or not. An error that `visit` throws is thrown at
   * the end, because a dump that is not read to its end would disturb the next one. Rejects with DumpRefused when the kernel refuses, and with NetlinkError when it fails or the socket
   * is closed (EBADF).
   */
  read(request: Uint8Array, visit: DumpVisitor): Promise<void> {
    const mine = this.#last.then(() => this.#read(request, visit));
    this.#last = mine.catch(() => undefined); // the caller gets the error
    return mine;
  }

  /** Ends a dump that runs. The descriptor is closed behind it: a thread may be using it, and its number must not become another file's meanwhile. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    void this.#last.then(() => close(this.#fd));
  }

  async #read(request: Uint8Array, visit: DumpVisitor): Promise<void> {
    this.#mustBeOpen();
    const answers = new Answers(readU32(request, 8), visit);
    this.#datagrams ??= new Datagrams();
    const datagrams = this.#datagrams;
    // errno stays in the thread, so the request is sent once more in this thread to learn why it failed.
    if ((await sendInThread(this.#fd, request)) < 0 && send(this.#fd, request, request.length, 0) < 0) throw failed('asked for', errnoName(errno()));
    for (let empty = 0; ; ) {
      this.#mustBeOpen();
      const count = await receiveInThread(this.#fd, datagrams);
      if (typeof count === 'number') {
        for (let index = 0; index < count; index += 1) if (answers.visitAll(datagrams, index)) return;
      } else {
        // The kernel continues a dump when it is read, and may be delayed by a lack of memory. So an empty queue is not a failure at once.
        if (count !== undefined || ++empty > emptyReadsAtMost) throw failed('read', count ?? 'ETIMEDOUT');
        await setImmediate();
      }
    }
  }

  #mustBeOpen(): void {
    if (!this.#open) throw new NetlinkError('EBADF', 'a netlink dump was ended: its socket was closed');
  }
}

/** The answers to one request. */
class Answers {
  readonly #sequence: number;
  readonly #visit: DumpVisitor;
  #broken: { readonly error: unknown } | undefined;

  constructor(sequence: number, visit: DumpVisitor) {
    this.#sequence = sequence;
    this.#visit = visit;
  }

  /** Visits the messages of the nth datagram; returns true at the end of the dump. */
  visitAll(datagrams: Datagrams, index: number): boolean {
    const buffer = datagrams.bytes;
    const { start, length, isCut } = datagrams.range(index);
    for (let at = start; at + headerLength <= start + length; ) {
      const messageLength = readU32(buffer, at);
      if (isCut || messageLength < headerLength || at + messageLength > start + length)
        throw new NetlinkError('EMSGSIZE', 'a message of a netlink dump was truncated');
      if (readU32(buffer, at + 8) === this.#sequence && this.#take(buffer, at, messageLength)) return true;
      at += (messageLength + 3) & ~3;
    }
    return false;
  }

  #take(buffer: Uint8Array, at: number, messageLength: number): boolean {
    const type = readU16(buffer, at + 4);
    if (type === messageError || type === messageDone) {
      const error = messageLength >= headerLength + 4 ? readI32(buffer, at + headerLength) : 0;
      if (error !== 0) throw new DumpRefused(errnoName(error), `the kernel refuses a netlink dump: ${errnoName(error)}`);
      if (this.#broken) throw this.#broken.error;
      return true;
    }
    try {
      if (!this.#broken) this.#visit(buffer, at + headerLength, at + messageLength, type);
    } catch (error) {
      this.#broken = { error };
    }
    return false;
  }
}

const failed = (what: string, code: string): NetlinkError => new NetlinkError(code, `a netlink dump cannot be ${what}: ${code}`);
