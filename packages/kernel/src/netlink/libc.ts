// The C library's functions that netlink needs, called in-process. They return -1 on failure, with errno set.
import { constants } from 'node:os';
import koffi, { type KoffiFunc } from 'koffi';
import { hostIsLittleEndian } from './attributes.ts';
import type { Datagrams } from './datagrams.ts';

export { hostIsLittleEndian };

const libc = koffi.load('libc.so.6');

/** socket(2). */
export const socket: (domain: number, type: number, protocol: number) => number = libc.func('int socket(int, int, int)');
/** bind(2). */
export const bind: (fd: number, address: Uint8Array, length: number) => number = libc.func('int bind(int, const uint8_t *, uint32_t)');
/** send(2). */
export const send: (fd: number, bytes: Uint8Array, length: number, flags: number) => number = libc.func('long send(int, const uint8_t *, size_t, int)');
const recv: (fd: number, bytes: Uint8Array, length: number, flags: number) => number = libc.func('long recv(int, uint8_t *, size_t, int)');

const recvmmsg: (fd: number, headers: Uint8Array, count: number, flags: number, timeout: null) => number = libc.func(
  'int recvmmsg(int, uint8_t *, unsigned int, int, void *)',
);

/** Calls a function in a thread of libuv's pool. Its buffers stay alive until it returns, and must not be used meanwhile. errno is that thread's and cannot be read. */
const inThread = <Args extends unknown[]>(called: (...args: Args) => number, ...args: Args): Promise<number> =>
  new Promise((resolve, reject) => {
    const done = (error: Error | null, result: number): void => (error ? reject(error) : resolve(result));
    (called as KoffiFunc<typeof called>).async(...args, done);
  });

/** send(2) in another thread. */
export const sendInThread = (fd: number, bytes: Uint8Array): Promise<number> => inThread(send, fd, bytes, bytes.length, 0);
/** recvfrom(2). Fills `from`. `fromLength` is the length of `from`, in host order, and becomes the length of the address. */
export const receiveFrom: (fd: number, bytes: Uint8Array, length: number, flags: number, from: Uint8Array, fromLength: Uint8Array) => number = libc.func(
  'long recvfrom(int, uint8_t *, size_t, int, uint8_t *, uint8_t *)',
);
/** sendto(2). */
export const sendTo: (fd: number, bytes: Uint8Array, length: number, flags: number, to: Uint8Array, toLength: number) => number = libc.func(
  'long sendto(int, const uint8_t *, size_t, int, const uint8_t *, uint32_t)',
);
/** close(2). */
export const close: (fd: number) => number = libc.func('int close(int)');
/** setns(2). */
export const setns: (fd: number, kind: number) => number = libc.func('int setns(int, int)');
const pollDescriptors: (descriptors: Uint8Array, count: number, timeoutMs: number) => number = libc.func('int poll(uint8_t *, unsigned long, int)');
const setsockopt: (fd: number, level: number, option: number, value: Uint8Array, length: number) => number = libc.func(
  'int setsockopt(int, int, int, const uint8_t *, uint32_t)',
);
const getsockopt: (fd: number, level: number, option: number, value: Uint8Array, length: Uint8Array) => number = libc.func(
  'int getsockopt(int, int, int, uint8_t *, uint8_t *)',
);

/** Sets a socket option of type `int`. Returns 0, or -1 with errno set. */
export function setSocketOption(fd: number, level: number, option: number, value: number): number {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, hostIsLittleEndian);
  return setsockopt(fd, level, option, bytes, bytes.length);
}

/** An instruction of a classic BPF packet filter (linux/filter.h): code, jump if true, jump if false, operand. The filter sees bytes in network order. */
export type FilterInstruction = readonly [code: number, ifTrue: number, ifFalse: number, operand: number];

/** The codes that this project uses: load a byte, 16 or 32 bits of the packet, jump, and accept as many bytes as the operand says. */
export const filterCode = { loadByte: 0x30, loadHalf: 0x28, loadWord: 0x20, jumpIfEqual: 0x15, giveBack: 0x06 } as const;

/** Makes the kernel keep only the datagrams that the filter accepts. Returns 0, or -1 with errno set. */
export function attachFilter(fd: number, instructions: readonly FilterInstruction[]): number {
  // struct sock_fprog, which points to the program, and the program behind it: one buffer that stays alive during the call.
  const programAt = 16;
  const both = new Uint8Array(programAt + instructions.length * 8);
  const view = new DataView(both.buffer);
  instructions.forEach(([code, ifTrue, ifFalse, operand], index) => {
    const at = programAt + index * 8;
    view.setUint16(at, code, hostIsLittleEndian);
    view.setUint8(at + 2, ifTrue);
    view.setUint8(at + 3, ifFalse);
    view.setUint32(at + 4, operand, hostIsLittleEndian);
  });
  view.setUint16(0, instructions.length, hostIsLittleEndian);
  view.setBigUint64(8, koffi.address(both) + BigInt(programAt), hostIsLittleEndian);
  return setsockopt(fd, 1 /* SOL_SOCKET */, 26 /* SO_ATTACH_FILTER */, both, programAt);
}

const systemCall: (number: number, command: number, attributes: Uint8Array, length: number) => number = libc.func(
  'long syscall(long, int, uint8_t *, uint32_t)',
);
const bpfNumber = ({ x64: 321, arm64: 280 } as Readonly<Record<string, number>>)[process.arch];

/**
 * bpf(2). Its attributes are the first `length` bytes of `bytes`. `pointers` are places in the attributes that receive the address of another part of `bytes`.
 * Returns -1 when the kernel refuses, or when the number of the system call is not known for this machine.
 */
export function bpf(command: number, bytes: Uint8Array, length: number, pointers: readonly { readonly at: number; readonly pointsTo: number }[]): number {
  if (bpfNumber === undefined) return -1;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (const { at, pointsTo } of pointers) view.setBigUint64(at, koffi.address(bytes) + BigInt(pointsTo), hostIsLittleEndian);
  return systemCall(bpfNumber, command, bytes, length);
}

/** Makes the kernel keep only datagrams whose first netlink message has this type. Returns 0, or -1 with errno set. */
export function keepOnlyType(fd: number, type: number): number {
  const offsetOfType = 4;
  const stored = hostIsLittleEndian ? ((type & 0xff) << 8) | (type >> 8) : type;
  return attachFilter(fd, [
    [filterCode.loadHalf, 0, 0, offsetOfType],
    [filterCode.jumpIfEqual, 0, 1, stored],
    [filterCode.giveBack, 0, 0, 0xffffffff],
    [filterCode.giveBack, 0, 0, 0],
  ]);
}

const dontWait = 0x40;
const truncate = 0x20;

/**
 * Reads one datagram into `bytes` without waiting. Returns its length, which exceeds that of `bytes` when it was cut; undefined when there is none; or the name of the socket's
 * pending error: `ENOBUFS` when the kernel had to drop datagrams.
 *
 * The result depends on returned values only, never on errno: the JavaScript engine may set errno between two calls, for example when it collects garbage.
 */
export function receive(fd: number, bytes: Uint8Array): number | string | undefined {
  const state = readableState(fd);
  if (typeof state !== 'number') return state.result;
  return received(state, recv(fd, bytes, bytes.length, dontWait | truncate));
}

/**
 * As `receive`, in another thread, because the reading lets the kernel go on with a dump, which may take long; and for as many datagrams as there are and fit. Returns their number.
 */
export async function receiveInThread(fd: number, into: Datagrams): Promise<number | string | undefined> {
  const state = readableState(fd);
  if (typeof state !== 'number') return state.result;
  const count = await inThread(recvmmsg, fd, into.headers, into.most, dontWait | truncate, null);
  return received(state, count);
}

/** The error that a socket has pending, 0 for none; or the result of reading it when there is nothing to read. */
function readableState(fd: number): number | { readonly result: string | undefined } {
  const state = poll(fd, 0);
  if (state === 0) return { result: undefined };
  if ((state & pollInvalid) !== 0) return { result: 'EBADF' };
  return (state & pollError) !== 0 ? takeError(fd) : 0;
}

function received(error: number, length: number): number | string {
  // The recv was needed all the same, because the kernel drops further datagrams without an error until somebody has found the queue empty.
  if (error !== 0) return errnoName(error);
  // The socket was readable and yet there was no datagram: an error arrived in between, and recv has consumed it. The kernel gives a reader no error other than this one.
  return length < 0 ? 'ENOBUFS' : length;
}

/** Waits until the descriptor is readable or has an error. Returns false after `timeoutMs`. */
export function waitReadable(fd: number, timeoutMs: number): boolean {
  const endMs = performance.now() + timeoutMs;
  // A signal ends poll early, without a result.
  for (let leftMs = timeoutMs; leftMs > 0; leftMs = endMs - performance.now()) if (poll(fd, Math.ceil(leftMs)) !== 0) return true;
  return false;
}

const [pollReadable, pollError, pollInvalid] = [0x01, 0x08, 0x20];
const descriptor = new Uint8Array(8);
const descriptorView = new DataView(descriptor.buffer);

/** The events that poll(2) reports for a descriptor; 0 for none. */
function poll(fd: number, timeoutMs: number): number {
  descriptorView.setInt32(0, fd, hostIsLittleEndian);
  descriptorView.setInt16(4, pollReadable, hostIsLittleEndian);
  return pollDescriptors(descriptor, 1, timeoutMs) > 0 ? descriptorView.getInt16(6, hostIsLittleEndian) : 0;
}

/** The number of a socket's pending error, which is thereby cleared; 0 for none. */
function takeError(fd: number): number {
  const value = new Uint8Array(4);
  const length = new Uint8Array(new Uint32Array([value.length]).buffer);
  return getsockopt(fd, 1 /* SOL_SOCKET */, 4 /* SO_ERROR */, value, length) === 0 ? new DataView(value.buffer).getInt32(0, hostIsLittleEndian) : 0;
}

/** The errno of the last failed call, for messages to people only. No decision may depend on it, see `receive`. */
export const errno = (): number => koffi.errno();

/** Error numbers that the kernel uses on netlink although they are not POSIX errors. */
const kernelsOwn: readonly (readonly [number, string])[] = [
  [85, 'ERESTART'],
  [524, 'ENOTSUPP'],
];
const aliases = new Set(['EWOULDBLOCK', 'ENOTSUP', 'EDEADLOCK']);
const names = new Map<number, string>([
  ...Object.entries(constants.errno).flatMap(([name, number]): [number, string][] => (aliases.has(name) ? [] : [[number, name]])),
  ...kernelsOwn,
]);

/** The name of an errno, like `ENOENT`. A number without a name gives `E1234`. */
export const errnoName = (number: number): string => names.get(Math.abs(number)) ?? `E${Math.abs(number)}`;
