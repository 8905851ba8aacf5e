// The C library's functions that netlink needs, called in-process.
import { constants } from 'node:os';
import koffi from 'koffi';
import { hostIsLittleEndian } from './attributes.ts';

export { hostIsLittleEndian };

const libc = koffi.load('libc.so.6');

export const socket: (domain: number, type: number, protocol: number) => number = libc.func('int socket(int, int, int)');
export const bind: (fd: number, address: Uint8Array, length: number) => number = libc.func('int bind(int, const uint8_t *, uint32_t)');
export const send: (fd: number, bytes: Uint8Array, length: number, flags: number) => number = libc.func('long send(int, const uint8_t *, size_t, int)');
const recv: (fd: number, bytes: Uint8Array, length: number, flags: number) => number = libc.func('long recv(int, uint8_t *, size_t, int)');
/** `from` is filled in; `fromLength` says, in host order, how long it may be, and is. */
export const receiveFrom: (fd: number, bytes: Uint8Array, length: number, flags: number, from: Uint8Array, fromLength: Uint8Array) => number = libc.func(
  'long recvfrom(int, uint8_t *, size_t, int, uint8_t *, uint8_t *)',
);
export const sendTo: (fd: number, bytes: Uint8Array, length: number, flags: number, to: Uint8Array, toLength: number) => number = libc.func(
  'long sendto(int, const uint8_t *, size_t, int, const uint8_t *, uint32_t)',
);
export const close: (fd: number) => number = libc.func('int close(int)');
export const setns: (fd: number, kind: number) => number = libc.func('int setns(int, int)');
const pollDescriptors: (descriptors: Uint8Array, count: number, timeoutMs: number) => number = libc.func('int poll(uint8_t *, unsigned long, int)');
const setsockopt: (fd: number, level: number, option: number, value: Uint8Array, length: number) => number = libc.func(
  'int setsockopt(int, int, int, const uint8_t *, uint32_t)',
);
const getsockopt: (fd: number, level: number, option: number, value: Uint8Array, length: Uint8Array) => number = libc.func(
  'int getsockopt(int, int, int, uint8_t *, uint8_t *)',
);

/** Sets an option that is an `int`. Returns 0, or -1 with errno set. */
export function setSocketOption(fd: number, level: number, option: number, value: number): number {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, hostIsLittleEndian);
  return setsockopt(fd, level, option, bytes, bytes.length);
}

/** An instruction of the kernel's packet filter (linux/filter.h, classic BPF): code, jump if true, jump if false, operand. It sees bytes in network order. */
export type FilterInstruction = readonly [code: number, ifTrue: number, ifFalse: number, operand: number];

/** The codes that are used here: load a byte, half a word or a word of the packet, jump, let through as many bytes as the operand says. */
export const filterCode = { loadByte: 0x30, loadHalf: 0x28, loadWord: 0x20, jumpIfEqual: 0x15, giveBack: 0x06 } as const;

/** Has the kernel keep only datagrams that the program lets through. Returns 0, or -1 with errno set. */
export function attachFilter(fd: number, instructions: readonly FilterInstruction[]): number {
  // struct sock_fprog, which says where the program is, and the program behind it: so that what the kernel reads is one buffer, alive while the call lasts.
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

/** bpf(2). Its attributes are the first `length` bytes of `bytes`; `pointers` are put in: addresses of what stands further back. -1: refused, or a machine whose number for it is not known here. */
export function bpf(command: number, bytes: Uint8Array, length: number, pointers: readonly { readonly at: number; readonly pointsTo: number }[]): number {
  if (bpfNumber === undefined) return -1;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (const { at, pointsTo } of pointers) view.setBigUint64(at, koffi.address(bytes) + BigInt(pointsTo), hostIsLittleEndian);
  return systemCall(bpfNumber, command, bytes, length);
}

/** Has the kernel keep only datagrams whose first netlink message is of that type. Returns 0, or -1 with errno set. */
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
 * Reads one datagram into `bytes` without waiting: its length, more than `bytes` holds where it was cut off. undefined: there is none. A name: the error that the
 * socket had to tell, `ENOBUFS` where the kernel had to drop datagrams.
 *
 * Every answer is a returned value, none is errno: whatever the engine does between two calls, such as to collect garbage, may set that anew, and "nothing there"
 * was once read as ENOENT.
 */
export function receive(fd: number, bytes: Uint8Array): number | string | undefined {
  const state = poll(fd, 0);
  if (state === 0) return undefined;
  if ((state & pollInvalid) !== 0) return 'EBADF';
  const error = (state & pollError) !== 0 ? takeError(fd) : 0;
  const length = recv(fd, bytes, bytes.length, dontWait | truncate);
  // That recv was for the kernel, which drops datagrams without a word until somebody has found the queue empty.
  if (error !== 0) return errnoName(error);
  // Readable and yet no datagram: an error came in between and recv has taken it. The kernel gives a reader no other than this one.
  return length < 0 ? 'ENOBUFS' : length;
}

/** Waits until the descriptor can be read, or has an error to tell. False: `timeoutMs` went by. */
export function waitReadable(fd: number, timeoutMs: number): boolean {
  const end = performance.now() + timeoutMs;
  // A signal ends poll early, and that is no answer.
  for (let left = timeoutMs; left > 0; left = end - performance.now()) if (poll(fd, Math.ceil(left)) !== 0) return true;
  return false;
}

const [pollReadable, pollError, pollInvalid] = [0x01, 0x08, 0x20];
const descriptor = new Uint8Array(8);
const descriptorView = new DataView(descriptor.buffer);

/** What poll(2) says of a descriptor to be read; 0: nothing. */
function poll(fd: number, timeoutMs: number): number {
  descriptorView.setInt32(0, fd, hostIsLittleEndian);
  descriptorView.setInt16(4, pollReadable, hostIsLittleEndian);
  return pollDescriptors(descriptor, 1, timeoutMs) > 0 ? descriptorView.getInt16(6, hostIsLittleEndian) : 0;
}

/** The error that a socket has to tell, by number; it is told once. 0: none. */
function takeError(fd: number): number {
  const value = new Uint8Array(4);
  const length = new Uint8Array(new Uint32Array([value.length]).buffer);
  return getsockopt(fd, 1 /* SOL_SOCKET */, 4 /* SO_ERROR */, value, length) === 0 ? new DataView(value.buffer).getInt32(0, hostIsLittleEndian) : 0;
}

/** errno of the last call that failed, by number: for a message to people. Nothing is decided by it, see `receive`. */
export const errno = (): number => koffi.errno();

/** Numbers that the kernel uses on netlink and that are no POSIX errors. */
const kernelsOwn: readonly (readonly [number, string])[] = [
  [85, 'ERESTART'],
  [524, 'ENOTSUPP'],
];
const aliases = new Set(['EWOULDBLOCK', 'ENOTSUP', 'EDEADLOCK']);
const names = new Map<number, string>([
  ...Object.entries(constants.errno).flatMap(([name, number]): [number, string][] => (aliases.has(name) ? [] : [[number, name]])),
  ...kernelsOwn,
]);

/** The errno's name: `ENOENT`. A number without a name gives `E1234`. */
export const errnoName = (number: number): string => names.get(Math.abs(number)) ?? `E${Math.abs(number)}`;
