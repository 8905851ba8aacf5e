// Hears guests' REBIND and DECLINE on the taps, which the guard keeps from Dnsmasq, and answers them for the tap's own port. Hears their SOLICIT, too, which Dnsmasq answers:
// a guest that was installed anew has another identifier, and Dnsmasq would refuse it its own address for as long as the lease runs that it had before.
import { createSocket } from 'node:dgram';
import { addressBytes, type IpAddress, macBytes } from '@calico-openstack/addresses';
import { type Logger, StartError } from '@calico-openstack/agent';
import { type Frame, openPacketSocket, type PacketSocket, parseUdp6, udp6Frame } from '@calico-openstack/kernel';
import type { Links } from '@calico-openstack/kernel/links/link';
import type { Holder } from '../dnsmasq/leases.ts';
import { isTapName } from '../endpoint.ts';
import { answer, type Held, messageType, readSolicit, release, type Server } from './message.ts';

/** A port as it is served; undefined: none is, on this tap. */
export type PortOf = (tap: string) => (Held & { readonly mac: string }) | undefined;

export type ResponderOptions = {
  readonly links: Links;
  readonly server: Server;
  readonly portOf: PortOf;
  /** Who has an address in lease now. */
  readonly holderOf: (address: IpAddress) => Holder | undefined;
  readonly log: Logger;
};

/** Puts a frame on a link; hands a message to Dnsmasq, as if a guest on the link had sent it to the address. */
export type Ways = { send(linkIndex: number, frame: Uint8Array): unknown; tellServer(message: Uint8Array, linkLocal: string, tap: string): void };

const [ip6, clientPort, serverPort] = [0x86dd, 546, 547] as const;

/** For the kernel: IPv6 and UDP without anything between, to DHCPv6's server, of one of the three types. Codes and offsets: linux/filter.h; a frame's first byte is 0. */
const filter = [
  [0x30, 0, 0, 20],
  [0x15, 0, 6, 17],
  [0x28, 0, 0, 56],
  [0x15, 0, 4, serverPort],
  [0x30, 0, 0, 62],
  [0x15, 3, 0, messageType.rebind],
  [0x15, 2, 0, messageType.solicit],
  [0x15, 1, 0, messageType.decline],
  [0x06, 0, 0, 0],
  [0x06, 0, 0, 0xffff_ffff],
] as const;

/** A tap's messages that are answered, and those only listened to: so many at once, one more after each such time. A guest rebinds once in hours. */
const budget = { atOnce: 8, everyMs: 250 };
/** What the kernel hands over of each link: room for both kinds. What is beyond takes no other tap's place. */
const limit = { atOnce: 2 * budget.atOnce, everyMs: budget.everyMs / 2 };
/** That a guest declines is told once in this time. */
const tellEveryMs = 600_000;

/** Listens until closed. @throws StartError without CAP_NET_RAW */
export function openResponder(options: ResponderOptions): { close(): void } {
  const toServer = createSocket('udp6');
  // What the kernel refuses is lost as a packet is; the guest asks again.
  toServer.on('error', (error) => options.log.debug({ err: error }, 'a lease could not be given back'));
  const respond = createResponder(options, {
    send: (linkIndex, frame) => socket.send(linkIndex, frame),
    tellServer: (message, linkLocal, tap) => toServer.send(message, serverPort, `${linkLocal}%${tap}`, () => undefined),
  });
  let socket: PacketSocket;
  try {
    socket = openPacketSocket(ip6, filter, limit, (frame) => respond(frame, performance.now()));
  } catch (error) {
    toServer.close();
    throw new StartError('PACKET_SOCKET_REFUSED', `cannot hear guests' REBINDs: ${(error as Error).message}; start this agent as root with CAP_NET_RAW`, {
      cause: error,
    });
  }
  if (!socket.isLimited)
    options.log.warn(
      'the kernel takes no eBPF socket filter from this agent: a guest that floods the host with REBINDs keeps other guests’ REBINDs from being answered; start the agent with CAP_BPF, before Linux 5.11 with LimitMEMLOCK=infinity',
    );
  return {
    close() {
      socket.close();
      toServer.close();
    },
  };
}

export function createResponder({ links, server, portOf, holderOf, log }: ResponderOptions, { send, tellServer }: Ways) {
  /** By tap: of what is answered, and of what is only listened to, so that neither is at the other's cost. */
  const budgets = new Map<string, Map<'answered' | 'heard', { left: number; atMs: number }>>();
  const toldMs = new Map<string, number>();

  function isWithinBudget(tap: string, kind: 'answered' | 'heard', nowMs: number): boolean {
    const ofTap = budgets.get(tap) ?? new Map<'answered' | 'heard', { left: number; atMs: number }>();
    const { left, atMs } = ofTap.get(kind) ?? { left: budget.atOnce, atMs: nowMs };
    const refill = Math.floor((nowMs - atMs) / budget.everyMs);
    const now = Math.min(budget.atOnce, left + refill);
    ofTap.set(kind, { left: Math.max(0, now - 1), atMs: now === budget.atOnce ? nowMs : atMs + refill * budget.everyMs });
    budgets.set(tap, ofTap);
    return now > 0;
  }

  function tellDecline(tap: string, nowMs: number): void {
    if (nowMs - (toldMs.get(tap) ?? Number.NEGATIVE_INFINITY) < tellEveryMs) return;
    toldMs.set(tap, nowMs);
    log.warn(
      { tap },
      'the guest says that somebody else has its IPv6 address, which cannot be in a routed network: it is offered again; look at what answers in the guest',
    );
  }

  /** Its own leases, of before: the guest's MAC says that it is the same port. */
  function giveBack(tap: string, { leases }: Held, client: NonNullable<ReturnType<typeof readSolicit>>, linkLocal: string): void {
    for (const address of leases) {
      const holder = holderOf(address);
      if (!holder || (Buffer.compare(holder.duid, client.duid) === 0 && client.iaids.includes(holder.iaid))) continue;
      log.info(
        { tap, address },
        'the guest has another DHCPv6 identifier than before: its former lease is given back, and it is offered its address when it asks again',
      );
      tellServer(release(address, holder, server), linkLocal, tap);
    }
  }

  return ({ linkIndex, bytes }: Frame, nowMs: number): void => {
    const tap = links.nameOf(linkIndex);
    if (tap === undefined || !isTapName(tap)) return;
    const port = portOf(tap);
    if (!port) {
      budgets.delete(tap);
      toldMs.delete(tap);
      return;
    }
    const packet = parseUdp6(bytes);
    if (!isWithinBudget(tap, packet?.payload[0] === messageType.solicit ? 'heard' : 'answered', nowMs)) return;
    // A guest speaks with its port's MAC, and from a link-local address (RFC 8415 13).
    if (packet?.destinationPort !== serverPort || Buffer.compare(packet.sourceMac, macBytes(port.mac)) !== 0 || !isLinkLocal(packet.source)) return;
    const mac = links.link(tap)?.mac;
    const own = links.addresses(tap).find(({ address, family }) => family === 6 && address.startsWith('fe80:'));
    if (mac === undefined || !own) return;
    const client = readSolicit(packet.payload);
    if (client) giveBack(tap, port, client, own.address);
    const reply = answer(packet.payload, port, server);
    if (!reply) return;
    if (reply.to === 'decline') tellDecline(tap, nowMs);
    log.debug({ tap, to: reply.to }, 'answered by DHCPv6');
    send(
      linkIndex,
      udp6Frame({
        sourceMac: macBytes(mac),
        destinationMac: packet.sourceMac,
        source: addressBytes(own.address),
        destination: packet.source,
        sourcePort: serverPort,
        destinationPort: clientPort,
        payload: reply.message,
      }),
    );
  };
}

const isLinkLocal = (address: Uint8Array): boolean => address[0] === 0xfe && (address[1]! & 0xc0) === 0x80;
