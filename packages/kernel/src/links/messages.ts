// Encodes and decodes rtnetlink's messages about links and addresses (linux/if_link.h, linux/if_addr.h).
import { addressBytes, addressFromBytes, familyOf, macBytes, macFromBytes } from '@calico-openstack/addresses';
import { flag, hostIsLittleEndian, readAttributes, readString, readU32, requestMessage } from '../netlink/attributes.ts';
import { addressFamily, familyOfNumber } from '../netlink/family.ts';
import type { NetlinkMessage } from '../netlink/socket.ts';
import type { AddressOptions, LinkAddress, LinkEvent, LinkFacts } from './link.ts';

const type = { newLink: 16, deleteLink: 17, getLink: 18, newAddress: 20, deleteAddress: 21, getAddress: 22 } as const;
/** Multicast groups: links, IPv4 and IPv6 addresses. */
export const linkGroups: readonly number[] = [1, 5, 9];

const attribute = { address: 1, name: 3, mtu: 4, master: 10, linkInfo: 18, extendedMask: 29 } as const;
const infoKind = 1;
const deviceUp = 0x1;
const deviceRunning = 0x40;
/** RTEXT_FILTER_SKIP_STATS: the answer has no counters. */
const skipStatistics = 8;

const addressAttribute = { address: 1, local: 2, label: 3, flags: 8, protocol: 11 } as const;
const addressFlag = { noDad: 0x02, dadFailed: 0x08, tentative: 0x40, noPrefixRoute: 0x200 } as const;

/** What a message from a dump or from the link groups says; undefined when it says nothing about a link or an IP address as such (a bridge's report about its ports, for one). */
export function readLinkMessage(message: NetlinkMessage): LinkEvent | undefined {
  switch (message.type) {
    case type.newLink: {
      const link = readLink(message.payload);
      return link && { event: 'link', link };
    }
    case type.deleteLink:
      // When a port leaves a bridge, the kernel reports the deletion of a "link" of family AF_BRIDGE. The link itself stays.
      return message.payload[0] === 0 ? { event: 'gone', index: readU32(message.payload, 4) } : undefined;
    case type.newAddress:
    case type.deleteAddress: {
      const read = readAddress(message.payload);
      return read && { event: message.type === type.newAddress ? 'address' : 'address-gone', ...read };
    }
    default:
      return undefined;
  }
}

/** struct ifinfomsg: family, type (16 bits), index, flags, change mask. */
function readLink(payload: Uint8Array): LinkFacts | undefined {
  if (payload[0] !== 0) return undefined;
  const attributes = readAttributes(payload, 16);
  const [name, mtu] = [attributes.get(attribute.name), attributes.get(attribute.mtu)];
  if (!name || !mtu) return undefined; // a wireless driver's event: no news about the link
  const [mac, master, linkInfo] = [attributes.get(attribute.address), attributes.get(attribute.master), attributes.get(attribute.linkInfo)];
  const kind = linkInfo && readAttributes(linkInfo).get(infoKind);
  const flags = readU32(payload, 8);
  return {
    name: readString(name),
    index: readU32(payload, 4),
    up: (flags & deviceUp) !== 0,
    running: (flags & deviceRunning) !== 0,
    mac: mac?.length === 6 ? macFromBytes(mac) : undefined,
    mtuBytes: readU32(mtu),
    kind: kind && readString(kind),
    masterIndex: master && readU32(master),
  };
}

/** struct ifaddrmsg: family, prefix length, 8 flags, scope, index. On a link with two ends ADDRESS is the other one's. */
function readAddress(payload: Uint8Array): { readonly index: number; readonly address: LinkAddress } | undefined {
  const family = familyOfNumber(payload[0] as number);
  const attributes = readAttributes(payload, 8);
  const bytes = attributes.get(addressAttribute.local) ?? attributes.get(addressAttribute.address);
  if (!family || !bytes) return undefined;
  const all = attributes.get(addressAttribute.flags);
  const flags = all ? readU32(all) : (payload[2] as number);
  const [protocol] = attributes.get(addressAttribute.protocol) ?? [];
  const address = {
    family,
    address: addressFromBytes(bytes),
    prefixLength: payload[1] as number,
    scope: payload[3] as number,
    tentative: (flags & (addressFlag.tentative | addressFlag.dadFailed)) !== 0,
    noPrefixRoute: (flags & addressFlag.noPrefixRoute) !== 0,
    ...(protocol !== undefined && { protocol }),
  };
  return { index: readU32(payload, 4), address };
}

function linkHeader(index: number, flags = 0, change = 0): Uint8Array {
  const header = new Uint8Array(16);
  const view = new DataView(header.buffer);
  view.setInt32(4, index, hostIsLittleEndian);
  view.setUint32(8, flags, hostIsLittleEndian);
  view.setUint32(12, change, hostIsLittleEndian);
  return header;
}

/** Requests all links (RTM_GETLINK). */
export const dumpLinks = (sequence: number): Uint8Array =>
  requestMessage(type.getLink, flag.dump, sequence, linkHeader(0), (writer) => writer.u32(attribute.extendedMask, skipStatistics));

/** Requests all addresses of both families (RTM_GETADDR). */
export const dumpAddresses = (sequence: number): Uint8Array => requestMessage(type.getAddress, flag.dump, sequence, new Uint8Array(8));

/** Requests one link, by index or by name. */
export const getLink = (sequence: number, which: number | string): Uint8Array =>
  requestMessage(type.getLink, flag.acknowledge, sequence, linkHeader(typeof which === 'number' ? which : 0), (writer) => {
    if (typeof which === 'string') writer.string(attribute.name, which);
    writer.u32(attribute.extendedMask, skipStatistics);
  });

/** Creates a link of this kind, such as `dummy` (RTM_NEWLINK). Refused with EEXIST where the name is taken. */
export const createLink = (sequence: number, name: string, kind: string): Uint8Array =>
  requestMessage(type.newLink, flag.acknowledge | flag.create | flag.exclusive, sequence, linkHeader(0), (writer) => {
    writer.string(attribute.name, name);
    writer.nested(attribute.linkInfo, () => writer.string(infoKind, kind));
  });

/** Deletes a link by name (RTM_DELLINK). */
export const removeLink = (sequence: number, name: string): Uint8Array =>
  requestMessage(type.deleteLink, flag.acknowledge, sequence, linkHeader(0), (writer) => writer.string(attribute.name, name));

/** Changes properties of a link by index (RTM_NEWLINK). */
export function setLink(
  sequence: number,
  index: number,
  change: { readonly up?: boolean; readonly mtuBytes?: number; readonly mac?: string; readonly name?: string },
): Uint8Array {
  const header = change.up === undefined ? linkHeader(index) : linkHeader(index, change.up ? deviceUp : 0, deviceUp);
  return requestMessage(type.newLink, flag.acknowledge, sequence, header, (writer) => {
    if (change.mac !== undefined) writer.binary(attribute.address, macBytes(change.mac));
    if (change.mtuBytes !== undefined) writer.u32(attribute.mtu, change.mtuBytes);
    if (change.name !== undefined) writer.string(attribute.name, change.name);
  });
}

/** Adds or removes an address of a link (RTM_NEWADDR, RTM_DELADDR). Adding is refused with EEXIST where the link has the address. */
export function changeAddress(
  verb: 'add' | 'remove',
  sequence: number,
  index: number,
  address: string,
  prefixLength: number,
  options: AddressOptions = {},
): Uint8Array {
  const bytes = addressBytes(address);
  const header = new Uint8Array(8);
  header[0] = addressFamily[familyOf(address)];
  header[1] = prefixLength;
  header[3] = options.scope ?? 0;
  new DataView(header.buffer).setUint32(4, index, hostIsLittleEndian);
  const [kind, flags] = verb === 'add' ? [type.newAddress, flag.create | flag.exclusive] : [type.deleteAddress, 0];
  return requestMessage(kind, flag.acknowledge | flags, sequence, header, (writer) => {
    writer.binary(addressAttribute.local, bytes);
    writer.binary(addressAttribute.address, bytes);
    if (verb === 'add') {
      writer.u32(addressAttribute.flags, (options.noPrefixRoute ? addressFlag.noPrefixRoute : 0) | (options.noDad ? addressFlag.noDad : 0));
      if (options.label !== undefined) writer.string(addressAttribute.label, options.label);
      if (options.protocol !== undefined) writer.binary(addressAttribute.protocol, Uint8Array.of(options.protocol));
    }
  });
}
