// Reads the taken addresses of a route: its next hops, and destinations that the kernel delivers to the host itself.
import { cidrFromBytes } from '@calico-openstack/addresses';
import { eachAttribute, flag, readU16, readU32 } from '../netlink/attributes.ts';
import { familyOfNumber } from '../netlink/family.ts';
import type { NetlinkMessage } from '../netlink/socket.ts';
import { routeMessage } from '../routes/messages.ts';
import { routeTable, routeTypes } from '../routes/route.ts';

/** A taken address that a route names, and the link of the route. */
export type RouteAddress = { readonly is: 'own' | 'next-hop'; readonly prefix: string; readonly deviceIndex: number | undefined };

/** The taken addresses of a route. `replaced` means that it replaced another route, of which the kernel reports nothing. */
export type RouteAddresses = { readonly addresses: readonly RouteAddress[]; readonly replaced: boolean };

const attribute = { destination: 1, oif: 4, gateway: 5, multipath: 9, table: 15, via: 18 } as const;
/** Types of routes to the host itself. Anycast is not among them: the first address of each IPv6 prefix is all routers' there (RFC 4291, 2.6.1). */
const deliveredHere = new Set(['local', 'broadcast']);

/** Parses a message of a dump or of the route groups; undefined when it names no taken address, as most routes to the host's workloads. */
export function readRouteAddresses(message: NetlinkMessage): { readonly is: 'present' | 'absent'; readonly object: RouteAddresses } | undefined {
  if (message.type !== routeMessage.newRoute && message.type !== routeMessage.deleteRoute) return undefined;
  const addresses = addressesOf(message.payload);
  const replaced = message.type === routeMessage.newRoute && (message.flags & flag.replace) !== 0;
  if (addresses.length === 0 && !replaced) return undefined;
  return { is: message.type === routeMessage.newRoute ? 'present' : 'absent', object: { addresses, replaced } };
}

/** The bytes of struct rtmsg (see routes/messages.ts). */
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
    // In other tables such routes may cover everything, for a proxy, so they do not show which addresses are taken.
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
