// Encodes and decodes neighbour entries for rtnetlink (linux/neighbour.h).
import { addressBytes, addressFromBytes, familyOf, type IpFamily, macBytes, macFromBytes } from '@calico-openstack/addresses';
import { flag, hostIsLittleEndian, MessageWriter, readAttributes, readI32, readU16 } from '../netlink/attributes.ts';
import { addressFamily, familyOfNumber } from '../netlink/family.ts';
import type { NetlinkMessage } from '../netlink/socket.ts';
import type { Operation } from '../programmer/diff.ts';
import type { Change } from '../programmer/table.ts';
import type { KernelNeighbour } from './neighbour.ts';

const type = { newNeighbour: 28, deleteNeighbour: 29, getNeighbour: 30 } as const;
/** The multicast group of neighbours. The kernel does not report proxies there. */
export const neighbourGroups: readonly number[] = [3];

const attribute = { destination: 1, linkLayerAddress: 2 } as const;
/** NTF_PROXY */
const proxyFlag = 0x08;
/** NUD_PERMANENT */
const permanentState = 0x80;

/** Parses a message of a dump or of the group; undefined for a message about anything but an IP neighbour (such as a bridge's forwarding entry). */
export function readNeighbourMessage(message: NetlinkMessage): Change<KernelNeighbour> | undefined {
  if (message.type !== type.newNeighbour && message.type !== type.deleteNeighbour) return undefined;
  const object = readNeighbour(message.payload);
  return object && { is: message.type === type.newNeighbour ? 'present' : 'absent', object };
}

/** struct ndmsg: family, 3 bytes of padding, index, state (16 bits), flags, type. */
function readNeighbour(payload: Uint8Array): KernelNeighbour | undefined {
  if (familyOfNumber(payload[0] as number) === undefined) return undefined;
  const attributes = readAttributes(payload, 12);
  const bytes = attributes.get(attribute.destination);
  if (!bytes) return undefined;
  const [deviceIndex, address] = [readI32(payload, 4), addressFromBytes(bytes)];
  if (((payload[10] as number) & proxyFlag) !== 0) return { kind: 'proxy', deviceIndex, address };
  const mac = attributes.get(attribute.linkLayerAddress);
  const kind = (readU16(payload, 8) & permanentState) !== 0 ? 'permanent' : 'learned';
  return { kind, deviceIndex, address, ...(mac?.length === 6 ? { mac: macFromBytes(mac) } : {}) };
}

function header(family: IpFamily, deviceIndex: number, state: number, flags: number): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  bytes[0] = addressFamily[family];
  view.setInt32(4, deviceIndex, hostIsLittleEndian);
  view.setUint16(8, state, hostIsLittleEndian);
  bytes[10] = flags;
  return bytes;
}

/** Writes the message of an operation. A created entry replaces an existing one, because neighbours are a cache and a desired entry takes precedence over a learned one. */
export function writeNeighbourOperation(writer: MessageWriter, sequence: number, { verb, object }: Operation<KernelNeighbour>): void {
  const [kind, flags] = verb === 'delete' ? [type.deleteNeighbour, 0] : [type.newNeighbour, flag.create | flag.replace];
  writer.begin(kind, flag.request | flag.acknowledge | flags, sequence);
  writer.raw(header(familyOf(object.address), object.deviceIndex, permanentState, object.kind === 'proxy' ? proxyFlag : 0));
  writer.binary(attribute.destination, addressBytes(object.address));
  if (object.kind !== 'proxy' && object.mac !== undefined && verb !== 'delete') writer.binary(attribute.linkLayerAddress, macBytes(object.mac));
  writer.end();
}

/** A request for all entries of a family, or for all its proxies. */
export function dumpNeighbours(sequence: number, family: IpFamily, which: 'entries' | 'proxies'): Uint8Array {
  const writer = new MessageWriter(64);
  writer.begin(type.getNeighbour, flag.request | flag.dump, sequence);
  writer.raw(header(family, 0, 0, which === 'proxies' ? proxyFlag : 0));
  writer.end();
  return writer.bytes();
}
