// What a route tells of addresses that are taken: its next hops, and what the kernel delivers to itself.
import { cidrFromBytes } from '@calico-openstack/addresses';
import { eachAttribute, flag, readU16, readU32 } from '../netlink/attributes.ts';
import { familyOfNumber } from '../netlink/family.ts';
import type { NetlinkMessage } from '../netlink/socket.ts';
import { routeMessage } from '../routes/messages.ts';
import { routeTable, routeTypes } from '../routes/route.ts';

/** An address that a route makes somebody's, and the link that the route leads out of. */
export type RouteAddress = { readonly is: 'own' | 'next-hop'; readonly prefix: string; readonly deviceIndex: number | undefined };

/** `replaced`: another route, of which nothing more is told, gave its place to this one. */
export type RouteAddresses = { readonly addresses: readonly RouteAddress[]; readonly replaced: boolean };

const attribute = { destination: 1, oif: 4, gateway: 5, multipath: 9, table: 15, via: 18 } as const;
/** Not anycast: the first address of each IPv6 prefix is all routers' there (RFC 4291, 2.6.1), nobody's alone. */
const deliveredHere = new Set(['local', 'broadcast']);

/** What a message from a dump or from the route groups says; undefined: nothing about anybody's address, which most of a host's routes to its workloads do not. */
export function readRouteAddresses(message: NetlinkMessage): { readonly is: 'present' | 'absent'; readonly object: RouteAddresses } | undefined {
  if (message.type !== routeMessage.newRoute && message.type !== routeMessage.deleteRoute) return undefined;
  const addresses = addressesOf(message.payload);
  const replaced = message.type === routeMessage.newRoute && (message.flags & flag.replace) !== 0;
  if (addresses.length === 0 && !replaced) return undefined;
  return { is: message.type === routeMessage.newRoute ? 'present' : 'absent', object: { addresses, replaced } };
}

/** struct rtmsg: see routes/messages.ts. */
function addressesOf(payload: Uint8Array): readonly RouteAddress[] {
  const family = familyOfNumber(payload[0] as number);
  if (!family) return [];
  const type = routeTypes[(payload[7] as number) - 1] ?? '';
  let table = payload[4] as number;
  let deviceIndex: number | undefined;
  let destination: Uint8Array | undefined;
  let multipath: Uint8Array | undefined;
  const hops: Uint8Array[] = [];
  eachAttribute(payload, 12, (name, value) => {
    if (name === attribute.oif) deviceIndex = readU32(value);
    else if (name === attribute.table) table = readU32(value);
    else if (name === attribute.destination) destination = value;
    else if (name === attribute.multipath) multipath = value;
    else addHop(name, value, hops);
  });
  if (deliveredHere.has(type)) {
    // In other tables such routes may stand for everything, for a proxy: they say nothing of who has what.
    if (table !== routeTable.local || destination === undefined) return [];
    return [{ is: 'own', prefix: cidrFromBytes(destination, payload[1] as number), deviceIndex }];
  }
  return [...hops.map((hop) => nextHop(hop, deviceIndex)), ...(multipath ? hopsOf(multipath) : [])];
}

function addHop(name: number, value: Uint8Array, hops: Uint8Array[]): void {
  if (name === attribute.gateway) hops.push(value);
  // struct rtvia: the family, then the address: an IPv4 route through an IPv6 router.
  if (name === attribute.via && value.length > 2) hops.push(value.subarray(2));
}

const nextHop = (address: Uint8Array, deviceIndex: number | undefined): RouteAddress => ({
  is: 'next-hop',
  prefix: cidrFromBytes(address, address.length * 8),
  deviceIndex,
});

/** struct rtnexthop, one behind the other: length (16 bits), flags, weight, the link's index, attributes. */
function hopsOf(multipath: Uint8Array): readonly RouteAddress[] {
  const found: RouteAddress[] = [];
  for (let at = 0; at + 8 <= multipath.length; ) {
    const length = readU16(multipath, at);
    if (length < 8 || at + length > multipath.length) break;
    const hops: Uint8Array[] = [];
    eachAttribute(multipath.subarray(at, at + length), 8, (name, value) => addHop(name, value, hops));
    for (const hop of hops) found.push(nextHop(hop, readU32(multipath, at + 4)));
    at += (length + 3) & ~3;
  }
  return found;
}
