// A packet filter with a rate limit for each link. Frames beyond a link's limit are dropped before the socket's queue, where they would displace those of other links.
// Classic BPF has no memory between frames, so the filter is translated to eBPF, which has maps (linux/bpf.h).
import { bpf, close, type FilterInstruction, filterCode, hostIsLittleEndian, setSocketOption } from '../netlink/libc.ts';

/** Each link may send `atOnce` frames at once, and one more every `everyMs`. */
export type LinkLimit = { readonly atOnce: number; readonly everyMs: number };

const [commandMapCreate, commandLoad] = [0, 5] as const;
const [leastRecentlyUsed, socketFilter] = [9, 1] as const;
const [levelSocket, attachProgram] = [1, 50] as const;
/** The number of links in the map. When there are more, the kernel drops the entry of the link that was quiet for the longest time, which then has its whole allowance again. */
const mostLinks = 16_384;
/** The number of attempts to load the program. The kernel stops checking a program (EAGAIN) when a signal is pending, for example for the end of a child. The signal is handled when the call returns. */
const mostAttempts = 20;
/** The numbers of the kernel's helper functions. */
const [lookUp, update, monotonicNs] = [1, 2, 5] as const;
/** Offsets of the packet's kind and of the link's index in struct __sk_buff; and PACKET_OUTGOING. */
const [packetKind, linkIndex, outgoing] = [4, 40, 4] as const;

/** An eBPF instruction: code, destination register, source register, offset, immediate value. */
type Instruction = readonly [code: number, destination: number, source: number, offset: number, immediate: number];

const [move, moveValue, add, addValue] = [0xbf, 0xb7, 0x0f, 0x07] as const;
const [jump, jumpIfEqual, jumpIfOther, jumpIfGreater] = [0x05, 0x15, 0x55, 0x2d] as const;
const [loadWord, load64, storeWord, store64, loadWide] = [0x61, 0x79, 0x63, 0x7b, 0x18] as const;
/** BPF_PSEUDO_MAP_FD as the source of a wide load: the value is a map's descriptor. */
const mapDescriptor = 1;
const [call, exit] = [0x85, 0x95] as const;

/**
 * Makes the kernel keep only incoming frames that the filter accepts (its operands must be below 2^31) and that are within their link's limit.
 * Returns false when the kernel does not accept such a program (no CAP_BPF, too little RLIMIT_MEMLOCK before Linux 5.11, another kind of machine). Then the socket is unchanged.
 */
export function attachLimitedFilter(fd: number, filter: readonly FilterInstruction[], limit: LinkLimit): boolean {
  const map = createMap();
  if (map < 0) return false;
  const instructions = [...head, ...translate(filter), ...withinLimit(map, limit)];
  let program = -1;
  for (let attempt = 0; program < 0 && attempt < mostAttempts; attempt += 1) program = load(instructions);
  // The program keeps the map alive, and the socket keeps the program.
  close(map);
  if (program < 0) return false;
  const attached = setSocketOption(fd, levelSocket, attachProgram, program);
  close(program);
  return attached === 0;
}

/** The first instructions: put the frame into register 6, where loads need it, and drop outgoing frames. */
const head: readonly Instruction[] = [
  [move, 6, 1, 0, 0],
  [loadWord, 0, 6, packetKind, 0],
  [jumpIfOther, 0, 0, 2, outgoing],
  [moveValue, 0, 0, 0, 0],
  [exit, 0, 0, 0, 0],
];

/** Translates a classic filter. Each instruction becomes two, so a jump over n becomes one over 2n. The kernel refuses unreachable instructions, so none may arise. */
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
 * The instructions that apply the limit. For each link, the map has the time at which its allowance is whole again. A frame moves that time by `everyMs`, and is dropped when the
 * time lies too far ahead. Two processors that count at the same time may accept one frame more. Registers: 7 is now, 8 the cost of a frame, 9 how far ahead is allowed.
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

/** Loads a 64-bit value, or the map of a descriptor, into a register. */
const wide = (register: number, value: number, source = 0): readonly Instruction[] => [
  [loadWide, register, source, 0, (value % 2 ** 32) | 0],
  [0, 0, 0, 0, Math.floor(value / 2 ** 32)],
];

/** Creates the map. Returns its descriptor, or -1. */
function createMap(): number {
  const attributes = new Uint8Array(20);
  const view = new DataView(attributes.buffer);
  // Type, length of keys and of values, number of entries, flags.
  for (const [index, value] of [leastRecentlyUsed, 4, 8, mostLinks, 0].entries()) view.setUint32(4 * index, value, hostIsLittleEndian);
  return bpf(commandMapCreate, attributes, attributes.length, []);
}

/** Loads the program. Returns its descriptor, or -1. */
function load(program: readonly Instruction[]): number {
  const licenseAt = 48;
  const programAt = 56;
  // What the attributes point to is placed behind them, in one buffer that stays alive during the call.
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
