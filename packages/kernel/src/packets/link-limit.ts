// A packet filter of which each link has its own allowance: what one link sends in excess is dropped before the socket's queue, where it would take the others' room.
// Classic BPF remembers nothing between two frames, so the filter becomes eBPF, which has a map for it (linux/bpf.h).
import { bpf, close, type FilterInstruction, filterCode, hostIsLittleEndian, setSocketOption } from '../netlink/libc.ts';

/** Of each link so many frames at once, and one more after each such time. */
export type LinkLimit = { readonly atOnce: number; readonly everyMs: number };

const [commandMapCreate, commandLoad] = [0, 5] as const;
const [leastRecentlyUsed, socketFilter] = [9, 1] as const;
const [levelSocket, attachProgram] = [1, 50] as const;
/** Links that are remembered. Beyond them the one longest unheard of has its whole allowance again. */
const mostLinks = 16_384;
/** The kernel gives up checking a program when a signal waits for the process, a child's end for one (EAGAIN). The signal is taken in when the call returns. */
const mostAttempts = 20;
/** Helpers of the kernel. */
const [lookUp, update, monotonicNs] = [1, 2, 5] as const;
/** Offsets in struct __sk_buff; PACKET_OUTGOING. */
const [packetKind, linkIndex, outgoing] = [4, 40, 4] as const;

/** code, destination register, source register, offset, immediate value */
type Instruction = readonly [code: number, destination: number, source: number, offset: number, immediate: number];

const [move, moveValue, add, addValue] = [0xbf, 0xb7, 0x0f, 0x07] as const;
const [jump, jumpIfEqual, jumpIfOther, jumpIfGreater] = [0x05, 0x15, 0x55, 0x2d] as const;
const [loadWord, load64, storeWord, store64, loadWide] = [0x61, 0x79, 0x63, 0x7b, 0x18] as const;
/** As the source of a wide load. */
const mapDescriptor = 1;
const [call, exit] = [0x85, 0x95] as const;

/**
 * Has the kernel keep only frames that come in, that the filter lets through (its operands below 2^31), and that are within their link's limit.
 * False: the kernel takes no such program (no CAP_BPF, too little RLIMIT_MEMLOCK before Linux 5.11, another kind of machine); the socket is as it was.
 */
export function attachLimitedFilter(fd: number, filter: readonly FilterInstruction[], limit: LinkLimit): boolean {
  const map = createMap();
  if (map < 0) return false;
  const instructions = [...head, ...translate(filter), ...withinLimit(map, limit)];
  let program = -1;
  for (let attempt = 0; program < 0 && attempt < mostAttempts; attempt += 1) program = load(instructions);
  // The program holds the map, the socket the program.
  close(map);
  if (program < 0) return false;
  const attached = setSocketOption(fd, levelSocket, attachProgram, program);
  close(program);
  return attached === 0;
}

/** Register 6 is the frame, as the loads want it. */
const head: readonly Instruction[] = [
  [move, 6, 1, 0, 0],
  [loadWord, 0, 6, packetKind, 0],
  [jumpIfOther, 0, 0, 2, outgoing],
  [moveValue, 0, 0, 0, 0],
  [exit, 0, 0, 0, 0],
];

/** Two instructions for one, so that a jump of n becomes one of 2n. None may be out of reach: the kernel refuses that. */
function translate(filter: readonly FilterInstruction[]): readonly Instruction[] {
  return filter.flatMap(([code, ifTrue, ifFalse, operand], index): readonly Instruction[] => {
    const next: Instruction = [jump, 0, 0, 0, 0];
    if (code === filterCode.jumpIfEqual)
      return [
        [jumpIfEqual, 0, 0, 2 * ifTrue + 1, operand],
        [jump, 0, 0, 2 * ifFalse, 0],
      ];
    if (code !== filterCode.giveBack) return [[code, 0, 0, 0, operand], next];
    if (operand !== 0) return [next, [jump, 0, 0, 2 * (filter.length - index - 1), 0]];
    return [
      [moveValue, 0, 0, 0, 0],
      [exit, 0, 0, 0, 0],
    ];
  });
}

/**
 * For each link the map has the time at which its allowance is whole again; a frame puts that off by `everyMs`, and is too much where it is too far ahead.
 * Two processors that count at once may let through one frame more. Registers: 7 now, 8 what a frame costs, 9 how far ahead is allowed.
 */
function withinLimit(map: number, { atOnce, everyMs }: LinkLimit): readonly Instruction[] {
  const everyNs = everyMs * 1e6;
  const [key, value] = [-4, -16];
  const mapAndKey: readonly Instruction[] = [...wide(1, map, mapDescriptor), [move, 2, 10, 0, 0], [addValue, 2, 0, 0, key]];
  const first: readonly Instruction[] = [
    [add, 7, 8, 0, 0],
    [store64, 10, 7, value, 0],
    ...mapAndKey,
    [move, 3, 10, 0, 0],
    [addValue, 3, 0, 0, value],
    [moveValue, 4, 0, 0, 0],
    [call, 0, 0, 0, update],
  ];
  const known: readonly Instruction[] = [
    [load64, 1, 0, 0, 0],
    [jumpIfGreater, 1, 7, 1, 0],
    [move, 1, 7, 0, 0],
    [add, 7, 9, 0, 0],
    [jumpIfGreater, 1, 7, 4, 0],
    [add, 1, 8, 0, 0],
    [store64, 0, 1, 0, 0],
  ];
  return [
    [call, 0, 0, 0, monotonicNs],
    [move, 7, 0, 0, 0],
    ...wide(8, everyNs),
    ...wide(9, (atOnce - 1) * everyNs),
    [loadWord, 1, 6, linkIndex, 0],
    [storeWord, 10, 1, key, 0],
    ...mapAndKey,
    [call, 0, 0, 0, lookUp],
    [jumpIfOther, 0, 0, first.length + 1, 0],
    ...first,
    [jump, 0, 0, known.length, 0],
    ...known,
    [moveValue, 0, 0, 0, 0x7fff_ffff],
    [exit, 0, 0, 0, 0],
    [moveValue, 0, 0, 0, 0],
    [exit, 0, 0, 0, 0],
  ];
}

/** 64 bits into a register, or the map of a descriptor. */
const wide = (register: number, value: number, source = 0): readonly Instruction[] => [
  [loadWide, register, source, 0, (value % 2 ** 32) | 0],
  [0, 0, 0, 0, Math.floor(value / 2 ** 32)],
];

/** A descriptor, or -1. */
function createMap(): number {
  const attributes = new Uint8Array(20);
  const view = new DataView(attributes.buffer);
  // Keys and values of so many bytes, so many of them, no flags.
  for (const [index, value] of [leastRecentlyUsed, 4, 8, mostLinks, 0].entries()) view.setUint32(4 * index, value, hostIsLittleEndian);
  return bpf(commandMapCreate, attributes, attributes.length, []);
}

/** A descriptor, or -1. */
function load(program: readonly Instruction[]): number {
  const licenseAt = 48;
  const programAt = 56;
  // What the attributes point to stands behind them: one buffer, alive while the call lasts.
  const all = new Uint8Array(programAt + 8 * program.length);
  const view = new DataView(all.buffer);
  view.setUint32(0, socketFilter, hostIsLittleEndian);
  view.setUint32(4, program.length, hostIsLittleEndian);
  all.set(Buffer.from('Apache\0'), licenseAt);
  program.forEach(([code, destination, source, offset, immediate], index) => {
    const at = programAt + 8 * index;
    view.setUint8(at, code);
    view.setUint8(at + 1, hostIsLittleEndian ? (source << 4) | destination : (destination << 4) | source);
    view.setInt16(at + 2, offset, hostIsLittleEndian);
    view.setInt32(at + 4, immediate, hostIsLittleEndian);
  });
  return bpf(commandLoad, all, licenseAt, [
    { at: 8, pointsTo: programAt },
    { at: 16, pointsTo: licenseAt },
  ]);
}
