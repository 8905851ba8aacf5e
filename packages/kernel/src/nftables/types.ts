// The types of fields and of sets' keys: their width, byte order, and how a value is printed.
import { addressFromBytes, macFromBytes } from '@calico-openstack/addresses';
import { hostIsLittleEndian } from '../netlink/attributes.ts';
import type { DataType } from './objects.ts';
import { quoted } from './text.ts';

type TypeFacts = {
  /** nft's number of the type, by which `nft list` knows the type of a set's key (nft's include/datatype.h). */
  readonly id: number;
  readonly widthBytes: number;
  /** Whether values are in host order. The kernel compares them as wholes; ranges of them, which it compares byte by byte, would be wrong. */
  readonly hostOrder?: boolean;
  readonly print: (value: Uint8Array) => string;
};

const types: { readonly [Type in DataType]: TypeFacts } = {
  ipv4_addr: { id: 7, widthBytes: 4, print: addressFromBytes },
  ipv6_addr: { id: 8, widthBytes: 16, print: addressFromBytes },
  ether_addr: { id: 9, widthBytes: 6, print: macFromBytes },
  ether_type: { id: 10, widthBytes: 2, print: (value) => `0x${hex(networkNumber(value), 4)}` },
  arp_op: { id: 11, widthBytes: 2, print: (value) => String(networkNumber(value)) },
  inet_proto: { id: 12, widthBytes: 1, print: printNumber },
  inet_service: { id: 13, widthBytes: 2, print: printNumber },
  icmp_type: { id: 14, widthBytes: 1, print: printNumber },
  mark: { id: 19, widthBytes: 4, hostOrder: true, print: (value) => `0x${hex(hostNumber(value), 8)}` },
  iface_index: { id: 20, widthBytes: 4, hostOrder: true, print: (value) => String(hostNumber(value)) },
  iface_type: { id: 21, widthBytes: 2, hostOrder: true, print: (value) => String(hostNumber(value)) },
  nf_proto: { id: 2, widthBytes: 1, print: (value) => protocolFamilies.get(networkNumber(value)) ?? printNumber(value) },
  ct_state: { id: 26, widthBytes: 4, hostOrder: true, print: (value) => printFlags(hostNumber(value), connectionStates) },
  ct_dir: { id: 27, widthBytes: 1, print: (value) => (value[0] === 0 ? 'original' : value[0] === 1 ? 'reply' : printNumber(value)) },
  ct_status: { id: 28, widthBytes: 4, hostOrder: true, print: (value) => printFlags(hostNumber(value), connectionStatuses) },
  icmpv6_type: { id: 29, widthBytes: 1, print: printNumber },
  icmp_code: { id: 32, widthBytes: 1, print: printNumber },
  icmpv6_code: { id: 33, widthBytes: 1, print: printNumber },
  fib_addrtype: { id: 38, widthBytes: 4, hostOrder: true, print: (value) => String(hostNumber(value)) },
  ifname: { id: 41, widthBytes: 16, print: printInterfaceName },
};

const protocolFamilies = new Map([
  [2, 'ipv4'],
  [10, 'ipv6'],
]);

/** The bits of a ct_state value (NF_CT_STATE_BIT). */
export const connectionState = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 } as const;
const connectionStates = new Map<number, string>(Object.entries(connectionState).map(([name, bit]) => [bit, name]));

/** The bits of a ct_status value (IPS_…) for which nft has names. */
export const connectionStatus = { expected: 1, 'seen-reply': 2, assured: 4, confirmed: 8, snat: 16, dnat: 32, dying: 512 } as const;
const connectionStatuses = new Map<number, string>(Object.entries(connectionStatus).map(([name, bit]) => [bit, name]));

/** All types. */
export const dataTypes = Object.keys(types) as readonly DataType[];
/** The width of a type's values in bytes. */
export const widthOf = (type: DataType): number => types[type].widthBytes;
/** Whether a type's values are in host order. */
export const isHostOrder = (type: DataType): boolean => types[type].hostOrder ?? false;
/** nft's number of a type. */
export const typeId = (type: DataType): number => types[type].id;

/** Prints a value as nft text that nft reads back to the same bytes. */
export const printValue = (type: DataType, value: Uint8Array): string => types[type].print(value);

/** The number in a value of up to four bytes in host order. */
export function hostNumber(value: Uint8Array): number {
  return hostIsLittleEndian ? networkNumber(value.toReversed()) : networkNumber(value);
}

/** The number in a value in network order. */
export const networkNumber = (value: Uint8Array): number => value.reduce((number, byte) => number * 256 + byte, 0);

/** A number as a value in host order: marks, interface indexes, connection states. */
export function hostOrder(number: number, widthBytes = 4): Uint8Array {
  return hostIsLittleEndian ? networkOrder(number, widthBytes).reverse() : networkOrder(number, widthBytes);
}

/** A number as a value in network order: ports, for example. */
export function networkOrder(number: number, widthBytes: number): Uint8Array {
  const bytes = new Uint8Array(widthBytes);
  for (let at = widthBytes - 1, rest = number >>> 0; at >= 0; at--, rest >>>= 8) bytes[at] = rest & 0xff;
  return bytes;
}

/** An interface's name as a value. Throws RangeError when it is longer than the kernel's 15 bytes. */
export function interfaceName(name: string): Uint8Array {
  const text = new TextEncoder().encode(name);
  if (text.length > 15 || text.includes(0)) throw new RangeError(`${JSON.stringify(name)} cannot be an interface's name: 15 bytes at most, no NUL`);
  const bytes = new Uint8Array(16);
  bytes.set(text);
  return bytes;
}

const hex = (number: number, digits: number): string => number.toString(16).padStart(digits, '0');

function printNumber(value: Uint8Array): string {
  return String(networkNumber(value));
}

function printFlags(number: number, names: ReadonlyMap<number, string>): string {
  const set = [...names].filter(([bit]) => (number & bit) !== 0);
  const named = set.reduce((sum, [bit]) => sum | bit, 0);
  return named === number && number !== 0 ? set.map(([, name]) => name).join(',') : `0x${hex(number, 1)}`;
}

/** Prints an interface's name. A `*` at its end is escaped, because nft would take it for a pattern. */
function printInterfaceName(value: Uint8Array): string {
  const end = value.indexOf(0);
  const name = new TextDecoder().decode(end === -1 ? value : value.subarray(0, end));
  return quoted(name.endsWith('*') ? `${name.slice(0, -1)}\\*` : name);
}
