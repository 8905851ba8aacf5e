// A netlink socket: sends requests to the kernel and receives answers, whatever their meaning.
import { CodedError } from '@calico-openstack/agent/errors';
import { flag, headerLength, hostIsLittleEndian, readAttributes, readI32, readString, readU16, readU32 } from './attributes.ts';
import { bind, close, errno, errnoName, keepOnlyType, receive, send, setSocketOption, socket, waitReadable } from './libc.ts';

/** A received netlink message: header fields and payload. `portId` is the socket that caused it (0: the kernel itself). */
export type NetlinkMessage = {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly portId: number;
  readonly payload: Uint8Array;
};

/**
 * The kernel's refusal of one message. `code` is the errno's name (`ENOENT`), `detail` the kernel's extended acknowledgement, if any, and `offset` the position in the
 * message, header included, of the attribute that was refused.
 */
export type NetlinkRefusal = { readonly sequence: number; readonly code: string; readonly detail?: string; readonly offset?: number };

/** The result of an exchange. */
export type Exchange = { readonly answers: readonly NetlinkMessage[]; readonly refusals: readonly NetlinkRefusal[] };

/** A socket for requests and their answers. */
export interface NetlinkSocket {
  /**
   * Sends messages (each with its header; one array may hold several) in one datagram. Collects all answers until each message that asked for an acknowledgement has
   * it, and dumps have ended. It is synchronous: the kernel answers inside send. A dump must be sent alone; it is requested again when the kernel says that the state changed meanwhile.
   * Refusals are returned as values. Throws NetlinkError when it is not known what the kernel did: ENOBUFS (answers were lost), ETIMEDOUT, EINTR (a
   * dump that kept changing); or when the kernel did nothing: EMSGSIZE (more than the socket may send at once), EBADF (closed).
   */
  exchange(messages: readonly Uint8Array[]): Exchange;
  nextSequence(): number;
  close(): void;
}

/** A call on a netlink socket failed. `code` is the errno's name. */
export class NetlinkError extends CodedError {}

/** The protocols for `openNetlinkSocket` (linux/netlink.h). */
export const netlinkProtocol = { route: 0, netfilter: 12 } as const;

const familyNetlink = 16;
const socketRaw = 3;
const closeOnExec = 0o2000000;
const levelSocket = 1;
const levelNetlink = 270;
const sendBufferForce = 32;
const receiveBufferForce = 33;
const addMembership = 1;
const capAcknowledge = 10;
const extendedAcknowledge = 11;
const strictChecking = 12;
const messageError = 2;
const messageDone = 3;
const cappedFlag = 0x100;
const tlvsFlag = 0x200;
/** The limit of the send buffer, which is not allocated: a whole table is sent in one datagram. */
const sendBufferBytes = 512 * 1024 * 1024;
const receiveBufferBytes = 32 * 1024 * 1024;
/** The receive buffer's size. Datagrams of a dump have at most 32 KB. */
const receiveBytes = 256 * 1024;
/** How long to wait for an answer. Normally it has arrived when send returns; a kernel that lacks memory may delay a dump. */
const answerWaitMs = 10_000;
const dumpAttempts = 20;

/**
 * Opens a socket of a netlink protocol (`netlinkProtocol`) in the calling thread's network namespace, in which it stays. `groups` are multicast groups to join. With `onlyType`,
 * the kernel discards messages of other types.
 * Throws NetlinkError when the kernel refuses.
 */
export function openNetlinkDescriptor(protocol: number, groups: readonly number[] = [], onlyType?: number): number {
  const fd = socket(familyNetlink, socketRaw | closeOnExec, protocol);
  if (fd < 0) throw systemError(`cannot open a netlink socket of protocol ${protocol}`);
  const address = new Uint8Array(12);
  address[0] = familyNetlink; // the port is the kernel's choice
  if (bind(fd, address, address.length) < 0) throw closing(fd, systemError(`cannot bind a netlink socket of protocol ${protocol}`));
  // Without CAP_NET_ADMIN this fails and the default size remains. That does not matter: the kernel would refuse such large messages from this process anyway.
  setSocketOption(fd, levelSocket, sendBufferForce, sendBufferBytes);
  setSocketOption(fd, levelSocket, receiveBufferForce, receiveBufferBytes);
  // Kernels before 4.12 do not know this option; their refusals have no detail.
  setSocketOption(fd, levelNetlink, capAcknowledge, 1);
  setSocketOption(fd, levelNetlink, extendedAcknowledge, 1);
  // Makes the kernel filter dumps (of routes: by table, protocol and device). Kernels before 4.20 do not know it; then the reader filters.
  setSocketOption(fd, levelNetlink, strictChecking, 1);
  if (onlyType !== undefined && keepOnlyType(fd, onlyType) < 0) throw closing(fd, systemError('cannot filter what a netlink socket receives'));
  for (const group of groups) {
    if (setSocketOption(fd, levelNetlink, addMembership, group) < 0)
      throw closing(fd, systemError(`cannot join group ${group} of netlink protocol ${protocol}`));
  }
  return fd;
}

/** Opens a socket for requests and their answers, as `openNetlinkDescriptor` does. */
export function openNetlinkSocket(protocol: number): NetlinkSocket {
  let fd = openNetlinkDescriptor(protocol);
  let sequence = 0;
  const buffer = new Uint8Array(receiveBytes);

  /** The messages of the next datagram; undefined when there is none. */
  function read(): readonly NetlinkMessage[] | undefined {
    const messages = receiveMessages(fd, buffer);
    if (messages === 'overrun') {
      drain();
      throw new NetlinkError('ENOBUFS', 'the kernel lost answers on a netlink socket: its receive buffer was full, so it is not known what was done');
    }
    return messages;
  }

  function drain(): void {
    while (receiveMessages(fd, buffer) !== undefined);
  }

  function exchangeOnce(datagram: Uint8Array, requests: Requests): Exchange & { readonly interrupted: boolean } {
    const pending = new Set(requests.awaited);
    const answers: NetlinkMessage[] = [];
    const refusals: NetlinkRefusal[] = [];
    let interrupted = false;
    if (send(fd, datagram, datagram.length, 0) < 0) throw systemError(`cannot send ${datagram.length} bytes to the kernel`);
    for (;;) {
      const messages = read();
      if (messages === undefined) {
        // When a whole batch is refused, the refusal is that of its first message, and the others are not answered.
        if (pending.size === 0 || refusals.length > 0) return { answers, refusals, interrupted };
        if (!waitReadable(fd, answerWaitMs)) {
          throw new NetlinkError(
            'ETIMEDOUT',
            `the kernel did not answer ${pending.size} of ${requests.awaited.length} netlink requests within ${answerWaitMs} ms`,
          );
        }
        continue;
      }
      for (const message of messages) {
        if (!requests.all.has(message.sequence)) continue; // an answer to an earlier exchange that threw
        if ((message.flags & flag.dumpInterrupted) !== 0) interrupted = true;
        if (message.type === messageError || message.type === messageDone) {
          pending.delete(message.sequence);
          const refusal = refusalOf(message);
          if (refusal !== undefined) refusals.push(refusal);
        } else {
          answers.push(message);
        }
      }
    }
  }

  return {
    exchange(messages) {
      if (fd < 0) throw new NetlinkError('EBADF', 'this netlink socket is closed');
      const datagram = messages.length === 1 && messages[0] !== undefined ? messages[0] : Buffer.concat(messages);
      const requests = readRequests(datagram);
      for (let attempt = 1; ; attempt++) {
        const { answers, refusals, interrupted } = exchangeOnce(datagram, requests);
        if (!interrupted) return { answers, refusals };
        if (attempt === dumpAttempts) throw new NetlinkError('EINTR', `what a netlink dump lists changed during each of ${dumpAttempts} attempts to read it`);
      }
    },
    nextSequence() {
      sequence = sequence === 0xffffffff ? 1 : sequence + 1;
      return sequence;
    },
    close() {
      if (fd >= 0) close(fd);
      fd = -1;
    },
  };
}

/** Reads one datagram into `buffer` without waiting. Returns undefined when there is none, and 'overrun' when the kernel had to drop datagrams; one that was queued may be lost then, too. */
export function receiveMessages(fd: number, buffer: Uint8Array): readonly NetlinkMessage[] | 'overrun' | undefined {
  const length = receive(fd, buffer);
  if (length === undefined) return undefined;
  if (length === 'ENOBUFS') return 'overrun';
  if (typeof length === 'string') throw new NetlinkError(length, `cannot read from a netlink socket: ${length}`);
  if (length > buffer.length)
    throw new NetlinkError('EMSGSIZE', `the kernel sent a netlink datagram of ${length} bytes, more than the ${buffer.length} expected`);
  return splitMessages(buffer.slice(0, length));
}

/** Splits a datagram into its messages. */
export function splitMessages(datagram: Uint8Array): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at + headerLength <= datagram.length; ) {
    const length = readU32(datagram, at);
    if (length < headerLength || at + length > datagram.length) break;
    messages.push({
      type: readU16(datagram, at + 4),
      flags: readU16(datagram, at + 6),
      sequence: readU32(datagram, at + 8),
      portId: readU32(datagram, at + 12),
      payload: datagram.subarray(at + headerLength, at + length),
    });
    at += (length + 3) & ~3;
  }
  return messages;
}

type Requests = { readonly all: ReadonlySet<number>; readonly awaited: readonly number[] };

/**
 * The sequence numbers in a datagram, and those of them that the kernel will answer with an acknowledgement or the end of a dump.
 * NLM_F_DUMP consists of two bits that have other meanings in requests to create or delete something, but no such request sets both.
 */
function readRequests(datagram: Uint8Array): Requests {
  const all = new Set<number>();
  const awaited: number[] = [];
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  for (let at = 0; at + headerLength <= datagram.length; ) {
    const flags = view.getUint16(at + 6, hostIsLittleEndian);
    const sequence = view.getUint32(at + 8, hostIsLittleEndian);
    all.add(sequence);
    if ((flags & flag.acknowledge) !== 0 || (flags & flag.dump) === flag.dump) awaited.push(sequence);
    at += Math.max(headerLength, (view.getUint32(at, hostIsLittleEndian) + 3) & ~3);
  }
  return { all, awaited };
}

/** The refusal in an NLMSG_ERROR or NLMSG_DONE; undefined when it reports success. */
function refusalOf({ type, flags, sequence, payload }: NetlinkMessage): NetlinkRefusal | undefined {
  if (payload.length < 4) return undefined;
  const number = readI32(payload);
  if (number === 0) return undefined;
  const extended = (flags & tlvsFlag) === 0 ? {} : extendedDetail(payload, type === messageDone ? 4 : afterEchoedRequest(payload, flags));
  return { sequence, code: errnoName(number), ...extended };
}

/** The offset behind the echoed request. An error carries the request's header behind its number, and the whole request unless it is capped. */
const afterEchoedRequest = (payload: Uint8Array, flags: number): number => 4 + ((flags & cappedFlag) !== 0 ? headerLength : (readU32(payload, 4) + 3) & ~3);

function extendedDetail(payload: Uint8Array, tlvs: number): { readonly detail?: string; readonly offset?: number } {
  const attributes = readAttributes(payload, tlvs);
  const text = attributes.get(1 /* NLMSGERR_ATTR_MSG */);
  const offset = attributes.get(2 /* NLMSGERR_ATTR_OFFS */);
  return { ...(text === undefined ? {} : { detail: readString(text) }), ...(offset === undefined ? {} : { offset: readU32(offset) }) };
}

function systemError(what: string): NetlinkError {
  const code = errnoName(errno());
  return new NetlinkError(code, `${what}: ${code}`);
}

function closing(fd: number, error: NetlinkError): NetlinkError {
  close(fd);
  return error;
}
