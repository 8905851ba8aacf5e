// Encodes and decodes rtnetlink's messages about routes (linux/rtnetlink.h).
import { addressBytes, addressFromBytes, familyOf, type IpFamily, splitCidr } from '@calico-openstack/addresses';
import { eachAttribute, flag, hostIsLittleEndian, MessageWriter, readU32 } from '../netlink/attributes.ts';
import { addressFamily, familyOfNumber } from '../netlink/family.ts';
import type { NetlinkMessage } from '../netlink/socket.ts';
import type { Operation } from '../programmer/diff.ts';
import { type KernelRoute, type RouteType, routeTypes } from './route.ts';

/** RTM_NEWROUTE and RTM_DELROUTE. */
export const routeMessage = { newRoute: 24, deleteRoute: 25 } as const;
const type = { ...routeMessage, getRoute: 26 } as const;
/** The multicast groups of IPv4 and IPv6 routes. */
export const routeGroups: readonly number[] = [7, 11];

const attribute = { destination: 1, oif: 4, gateway: 5, priority: 6, prefSource: 7, multipath: 9, table: 15, via: 18 } as const;
/** RTM_F_CLONED: the message is about a cache entry and not a route. */
const cloned = 0x200;

/** Restricts a dump. An absent field does not restrict it. */
export type RouteFilter = { readonly table?: number; readonly protocol?: number; readonly deviceIndex?: number };

/** Decodes a message of a dump or of the route groups; undefined when it is not about a route that matters here. */
export function readRouteMessage(message: NetlinkMessage): { readonly is: 'present' | 'absent'; readonly object: KernelRoute } | undefined {
  if (message.type !== type.newRoute && message.type !== type.deleteRoute) return undefined;
  const object = readRoute(message.payload);
  return object && { is: message.type === type.newRoute ? 'present' : 'absent', object };
}

/** Whether a dump's message passes the filter, decided without decoding all of it. Kernels before 4.20 do not filter, and none filters by everything. */
export function passes({ payload }: NetlinkMessage, filter: RouteFilter): boolean {
  if (filter.protocol !== undefined && payload[5] !== filter.protocol) return false;
  // A table's number that does not fit into the header's byte is in an attribute.
  let table = payload[4] as number;
  if (filter.table !== undefined && filter.table < 256 && table !== filter.table) return false;
  if ((filter.table === undefined || filter.table < 256) && filter.deviceIndex === undefined) return true;
  let deviceIndex: number | undefined;
  eachAttribute(payload, 12, (kind, value) => {
    if (kind === attribute.table) table = readU32(value);
    if (kind === attribute.oif) deviceIndex = readU32(value);
  });
  return (filter.table === undefined || table === filter.table) && (filter.deviceIndex === undefined || deviceIndex === filter.deviceIndex);
}

/** Decodes a struct rtmsg (family, length of the destination and the source, TOS, table, protocol, scope, type, flags) and its attributes. */
function readRoute(payload: Uint8Array): KernelRoute | undefined {
  const family = familyOfNumber(payload[0] as number);
  const kind = routeTypes[(payload[7] as number) - 1];
  const sourceLength = payload[2] as number;
  if (!family || !kind || sourceLength > 0 || (readU32(payload, 8) & cloned) !== 0) return undefined;
  let destination = unspecified[family];
  let table = payload[4] as number;
  let metric = 0;
  let multipath = false;
  let deviceIndex: number | undefined;
  let via: string | undefined;
  let prefSource: string | undefined;
  eachAttribute(payload, 12, (name, value) => {
    if (name === attribute.destination) destination = value;
    else if (name === attribute.table) table = readU32(value);
    else if (name === attribute.priority) metric = readU32(value);
    else if (name === attribute.oif) deviceIndex = readU32(value);
    else if (name === attribute.gateway) via = addressFromBytes(value);
    else if (name === attribute.via)
      via = addressFromBytes(value.subarray(2)); // an IPv4 route through an IPv6 next hop
    else if (name === attribute.prefSource) prefSource = addressFromBytes(value);
    else if (name === attribute.multipath) multipath = true;
  });
  const tos = payload[3] as number;
  return {
    family,
    destination: `${addressFromBytes(destination)}/${payload[1]}`, // the kernel keeps it masked
    metric,
    table,
    protocol: payload[5] as number,
    scope: payload[6] as number,
    type: kind,
    ...(via === undefined ? {} : { via }),
    ...(prefSource === undefined ? {} : { prefSource }),
    ...(deviceIndex === undefined || leadsNowhere.has(kind) ? {} : { deviceIndex }),
    ...(tos === 0 ? {} : { tos }),
    ...(multipath ? { multipath: true } : {}),
  };
}

/** Routes that have no device. The kernel shows those of IPv6 on `lo`, whatever was asked for. */
const leadsNowhere: ReadonlySet<RouteType> = new Set(['blackhole', 'unreachable', 'prohibit', 'throw']);

const unspecified: { readonly [family in IpFamily]: Uint8Array } = { 4: new Uint8Array(4), 6: new Uint8Array(16) };

const verbs = {
  create: { type: type.newRoute, flags: flag.create | flag.exclusive },
  replace: { type: type.newRoute, flags: flag.create | flag.replace },
  delete: { type: type.deleteRoute, flags: 0 },
} as const;

/** Writes the message of an operation. A deletion names all properties of the route, so that it cannot delete another one. */
export function writeRouteOperation(writer: MessageWriter, sequence: number, { verb, object: route }: Operation<KernelRoute>): void {
  const { bytes, length } = splitCidr(route.destination);
  writer.begin(verbs[verb].type, flag.request | flag.acknowledge | verbs[verb].flags, sequence);
  const table = route.table < 256 ? route.table : 0;
  const kind = routeTypes.indexOf(route.type) + 1;
  writer.raw(Uint8Array.of(addressFamily[route.family], length, 0, route.tos ?? 0, table, route.protocol, route.scope, kind, 0, 0, 0, 0));
  writer.binary(attribute.destination, bytes);
  writer.u32(attribute.table, route.table);
  writer.u32(attribute.priority, route.metric);
  if (route.deviceIndex !== undefined) writer.u32(attribute.oif, route.deviceIndex);
  if (route.prefSource !== undefined) writer.binary(attribute.prefSource, addressBytes(route.prefSource));
  if (route.via !== undefined) writeVia(writer, route.family, route.via);
  writer.end();
}

function writeVia(writer: MessageWriter, family: IpFamily, via: string): void {
  const viaFamily = familyOf(via);
  if (viaFamily === family) {
    writer.binary(attribute.gateway, addressBytes(via));
    return;
  }
  const bytes = new Uint8Array(18);
  new DataView(bytes.buffer).setUint16(0, addressFamily[viaFamily], hostIsLittleEndian);
  bytes.set(addressBytes(via), 2);
  writer.binary(attribute.via, bytes);
}

/** A request for all routes of a family that pass the filter. */
export function dumpRoutes(sequence: number, family: IpFamily, filter: RouteFilter): Uint8Array {
  const writer = new MessageWriter(64);
  writer.begin(type.getRoute, flag.request | flag.dump, sequence);
  writer.raw(Uint8Array.of(addressFamily[family], 0, 0, 0, 0, filter.protocol ?? 0, 0, 0, 0, 0, 0, 0));
  if (filter.table !== undefined) writer.u32(attribute.table, filter.table);
  if (filter.deviceIndex !== undefined) writer.u32(attribute.oif, filter.deviceIndex);
  writer.end();
  return writer.bytes();
}
