// The C library's functions that netlink needs, called in-process.
import { constants } from 'node:os';
import koffi from 'koffi';
import { hostIsLittleEndian } from './attributes.ts';

export { hostIsLittleEndian };

const libc = koffi.load('libc.so.6');

export const socket: (domain: number, type: number, protocol: number) => number = libc.func('int socket(int, int, int)');
export const bind: (fd: number, address: Uint8Array, length: number) => number = libc.func('int bind(int, const uint8_t *, uint32_t)');
export const send: (fd: number, bytes: Uint8Array, length: number, flags: number) => number = libc.func('long send(int, const uint8_t *, size_t, int)');
/** Writes into `bytes`. */
export const recv: (fd: number, bytes: Uint8Array, length: number, flags: number) => number = libc.func('long recv(int, uint8_t *, size_t, int)');
export const close: (fd: number) => number = libc.func('int close(int)');
export const open: (path: string, flags: number) => number = libc.func('int open(const char *, int)');
export const setns: (fd: number, kind: number) => number = libc.func('int setns(int, int)');
const pollDescriptors: (descriptors: Uint8Array, count: number, timeoutMs: number) => number = libc.func('int poll(uint8_t *, unsigned long, int)');
const setsockopt: (fd: number, level: number, option: number, value: Uint8Array, length: number) => number = libc.func(
  'int setsockopt(int, int, int, const uint8_t *, uint32_t)',
);

/** Sets an option that is an `int`. Returns 0, or -1 with errno set. */
export function setSocketOption(fd: number, level: number, option: number, value: number): number {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, hostIsLittleEndian);
  return setsockopt(fd, level, option, bytes, bytes.length);
}

/**
 * Has the kernel keep only datagrams whose first netlink message is of that type: a program for the kernel's packet filter (linux/filter.h), which sees bytes in
 * network order. Returns 0, or -1 with errno set.
 */
export function keepOnlyType(fd: number, type: number): number {
  const [loadHalf, jumpIfEqual, giveBack] = [0x28, 0x15, 0x06];
  const offsetOfType = 4;
  const stored = hostIsLittleEndian ? ((type & 0xff) << 8) | (type >> 8) : type;
  const program = new Uint8Array(4 * 8);
  const view = new DataView(program.buffer);
  const instructions = [
    [loadHalf, 0, 0, offsetOfType],
    [jumpIfEqual, 0, 1, stored],
    [giveBack, 0, 0, 0xffffffff],
    [giveBack, 0, 0, 0],
  ] as const;
  instructions.forEach(([code, ifTrue, ifFalse, operand], at) => {
    view.setUint16(at * 8, code, hostIsLittleEndian);
    view.setUint8(at * 8 + 2, ifTrue);
    view.setUint8(at * 8 + 3, ifFalse);
    view.setUint32(at * 8 + 4, operand, hostIsLittleEndian);
  });
  const descriptor = new Uint8Array(16);
  const descriptorView = new DataView(descriptor.buffer);
  descriptorView.setUint16(0, instructions.length, hostIsLittleEndian);
  descriptorView.setBigUint64(8, koffi.address(program), hostIsLittleEndian);
  return setsockopt(fd, 1 /* SOL_SOCKET */, 26 /* SO_ATTACH_FILTER */, descriptor, descriptor.length);
}

/** Waits until the descriptor can be read, or has an error to tell. False: `timeoutMs` went by. */
export function waitReadable(fd: number, timeoutMs: number): boolean {
  const descriptor = new Uint8Array(8);
  const view = new DataView(descriptor.buffer);
  view.setInt32(0, fd, hostIsLittleEndian);
  view.setInt16(4, 1 /* POLLIN */, hostIsLittleEndian);
  return pollDescriptors(descriptor, 1, timeoutMs) > 0;
}

/** errno of the last call that failed, by number. Valid only right after it. */
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
