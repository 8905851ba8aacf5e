// Asks guests whether they have an address, and receives their answers and announcements: by ARP for IPv4, by neighbour discovery for IPv6.
import { addressBytes, addressFromBytes, familyOf, type IpAddress, linkLocalBytes, macBytes, macFromBytes } from '@calico-openstack/addresses';
import { arpEtherType, arpMessageFrame, icmp6Frame, openPacketSocket, parseArp, parseIcmp6 } from '@calico-openstack/kernel';

/** A guest's announcement of an address, or its answer to a question. `macs` are the MACs that it names as its own. */
export type Heard = { readonly linkIndex: number; readonly address: IpAddress; readonly is: 'announcement' | 'answer'; readonly macs: readonly string[] };

/** The host's end of a guest's interface. */
export type HostEnd = { readonly index: number; readonly mac: string };

/** The open sockets. Guests' messages are received until they are closed. */
export interface AddressTalk {
  /** Asks the guest behind a link. @param gateway the sender's address in a question for an IPv4 address; without it the sender is 0.0.0.0 */
  ask(end: HostEnd, address: IpAddress, gateway: IpAddress | undefined): void;
  close(): void;
}

const ipv6EtherType = 0x86dd;
const [neighbourSolicitation, neighbourAdvertisement, sourceLinkLayerOption] = [135, 136, 1] as const;
const everything = [[0x06, 0, 0, 0xffff_ffff]] as const;
/** Bytes 20 and 54 of an Ethernet frame are the next header of IPv6 and, if that is ICMPv6 (58), its type. */
const advertisements = [
  [0x30, 0, 0, 20],
  [0x15, 0, 2, 58],
  [0x30, 0, 0, 54],
  [0x15, 1, 0, neighbourAdvertisement],
  [0x06, 0, 0, 0],
  [0x06, 0, 0, 0xffff_ffff],
] as const;
/** The allowance of each link and protocol. A guest that has many addresses announces them all when it takes over. */
const limit = { atOnce: 64, everyMs: 20 };
const broadcast = new Uint8Array(6).fill(0xff);

/**
 * Calls back with guests' announcements and answers, until closed.
 * @throws NetlinkError without CAP_NET_RAW
 */
export function openAddressTalk(onHeard: (heard: Heard) => void): AddressTalk {
  const arp = openPacketSocket(arpEtherType, everything, limit, ({ linkIndex, bytes }) => {
    const said = readArp(bytes);
    if (said) onHeard({ linkIndex, ...said });
  });
  let ipv6: ReturnType<typeof openPacketSocket>;
  try {
    ipv6 = openPacketSocket(ipv6EtherType, advertisements, limit, ({ linkIndex, bytes }) => {
      const said = readAdvertisement(bytes);
      if (said) onHeard({ linkIndex, ...said });
    });
  } catch (error) {
    arp.close();
    throw error;
  }
  return {
    ask(end, address, gateway) {
      if (familyOf(address) === 4) arp.send(end.index, arpQuestion(end, address, gateway));
      else ipv6.send(end.index, solicitation(end, address));
    },
    close() {
      arp.close();
      ipv6.close();
    },
  };
}

/** A request or reply whose sender is its target announces the address (RFC 5227, 3). Another reply is an answer. */
export function readArp(bytes: Uint8Array): Omit<Heard, 'linkIndex'> | undefined {
  const message = parseArp(bytes);
  if (!message) return undefined;
  const isAnnouncement = Buffer.compare(message.sender, message.target) === 0;
  if (!isAnnouncement && message.operation === 'request') return undefined;
  return {
    address: addressFromBytes(message.sender),
    is: isAnnouncement ? 'announcement' : 'answer',
    macs: [macFromBytes(bytes.subarray(6, 12)), macFromBytes(message.senderMac)],
  };
}

/** An advertisement that nobody has solicited announces the address (RFC 4861, 4.4: the second bit of the flags). */
export function readAdvertisement(bytes: Uint8Array): Omit<Heard, 'linkIndex'> | undefined {
  const packet = parseIcmp6(bytes);
  if (!packet || packet.message[0] !== neighbourAdvertisement || packet.message.length < 24) return undefined;
  const isSolicited = (packet.message[4]! & 0x40) !== 0;
  return { address: addressFromBytes(packet.message.subarray(8, 24)), is: isSolicited ? 'answer' : 'announcement', macs: [macFromBytes(packet.sourceMac)] };
}

/** The question is broadcast on the link, because the guest may have the address under another MAC (VRRP's). */
export function arpQuestion(end: HostEnd, address: IpAddress, gateway: IpAddress | undefined): Uint8Array {
  const sender = gateway === undefined ? new Uint8Array(4) : addressBytes(gateway);
  const mac = macBytes(end.mac);
  return arpMessageFrame({ operation: 'request', senderMac: mac, sender, targetMac: new Uint8Array(6), target: addressBytes(address) }, broadcast);
}

/** A neighbour solicitation to the address's solicited-node multicast group (RFC 4861, 4.3; RFC 4291, 2.7.1). */
export function solicitation(end: HostEnd, address: IpAddress): Uint8Array {
  const target = addressBytes(address);
  const group = Uint8Array.from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, ...target.subarray(13)]);
  const mac = macBytes(end.mac);
  const message = Uint8Array.from([neighbourSolicitation, 0, 0, 0, 0, 0, 0, 0, ...target, sourceLinkLayerOption, 1, ...mac]);
  return icmp6Frame({
    sourceMac: mac,
    destinationMac: Uint8Array.from([0x33, 0x33, ...group.subarray(12)]),
    source: linkLocalBytes(end.mac),
    destination: group,
    message,
  });
}
