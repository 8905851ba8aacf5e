// Answers guests' REBIND and DECLINE on the taps for the tap's own port; the guard keeps these messages from Dnsmasq. It also listens to SOLICIT, which Dnsmasq answers:
// a guest that was installed anew has another identifier, and Dnsmasq would refuse it its own address for as long as its former lease runs.
import { createSocket } from 'node:dgram';
import { addressBytes, type IpAddress, macBytes } from '@calico-openstack/addresses';
import { type Logger, StartError } from '@calico-openstack/agent';
import { type Frame, openPacketSocket, type PacketSocket, parseUdp6, udp6Frame } from '@calico-openstack/kernel';
import type { Links } from '@calico-openstack/kernel/links/link';
import type { Holder } from '../dnsmasq/leases.ts';
import { isTapName } from '../endpoint.ts';
import { answer, type Held, messageType, readSolicit, release, type Server } from './message.ts';

/** The port that is served on a tap; undefined when none is. */
export type PortOf = (tap: string) => (Held & { readonly mac: string }) | undefined;

/** What the responder answers with, and where it looks ports and leases up. */
export type ResponderOptions = {
  readonly links: Links;
  readonly server: Server;
  readonly portOf: PortOf;
  /** Who has leased an address now; undefined when nobody has. */
  readonly holderOf: (address: IpAddress) => Holder | undefined;
  readonly log: Logger;
};

/** How frames get out: `send` puts one on a link; `tellServer` hands a message to Dnsmasq, as if a guest on the link had sent it to the address. */
export type Ways = { send(linkIndex: number, frame: Uint8Array): unknown; tellServer(message: Uint8Array, linkLocal: string, tap: string): void };

const [ip6, clientPort, serverPort] = [0x86dd, 546, 547] as const;

/** The kernel's filter: IPv6 and UDP without headers between, to DHCPv6's server port, of one of the three types. Codes and offsets: linux/filter.h; a frame's first byte is 0. */
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

/** The limit for a tap's messages, of those that are answered and of those only listened to: `atOnce`, and one more every `everyMs`. A guest rebinds once in hours. */
const budget = { atOnce: 8, everyMs: 250 };
/** The kernel's limit for each link, with room for both kinds. A tap that exceeds it takes no other tap's share. */
const limit = { atOnce: 2 * budget.atOnce, everyMs: budget.everyMs / 2 };
/** A guest's DECLINE is logged at most once in this time. */
const tellEveryMs = 600_000;

/** Listens and answers until closed. @throws StartError without CAP_NET_RAW */
export function openResponder(options: ResponderOptions): { close(): void } {
  const toServer = createSocket('udp6');
  // A message that the kernel refuses is lost like a packet; the guest asks again.
  toServer.on('error', (error) => options.log.debug({ err: error }, 'cannot return a lease to Dnsmasq; the guest asks again'));
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
      'the kernel refuses this agent’s eBPF socket filter: a guest that floods the host with REBINDs keeps other guests’ REBINDs from being answered; start the agent with CAP_BPF, before Linux 5.11 with LimitMEMLOCK=infinity',
    );
  return {
    close() {
      socket.close();
      toServer.close();
    },
  };
}

/** The responder without its sockets: takes frames, and sends answers by `send` and `tellServer`. */
export function createResponder({ links, server, portOf, holderOf, log }: ResponderOptions, { send, tellServer }: Ways) {
  /** The budgets by tap, one for messages that are answered and one for messages only listened to, so that neither uses up the other. */
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
      'the guest declines its IPv6 address as used by somebody else, which cannot be in a routed network; it is offered again; look for what answers for the address inside the guest',
    );
  }

  /** Returns the leases that the same port got under another identifier: the guest's MAC says that it is the same port. */
  function giveBack(tap: string, { leases }: Held, client: NonNullable<ReturnType<typeof readSolicit>>, linkLocal: string): void {
    for (const address of leases) {
      const holder = holderOf(address);
      if (!holder || (Buffer.compare(holder.duid, client.duid) === 0 && client.iaids.includes(holder.iaid))) continue;
      log.info(
        { tap, address },
        'the guest has another DHCPv6 identifier than before; its former lease is released, and it is offered its address when it asks again',
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
    // Only messages with the port's MAC, from a link-local address (RFC 8415 13), are the port's own.
    if (packet?.destinationPort !== serverPort || Buffer.compare(packet.sourceMac, macBytes(port.mac)) !== 0 || !isLinkLocal(packet.source)) return;
    const mac = links.link(tap)?.mac;
    const own = links.addresses(tap).find(({ address, family }) => family === 6 && address.startsWith('fe80:'));
    if (mac === undefined || !own) return;
    const client = readSolicit(packet.payload);
    if (client) giveBack(tap, port, client, own.address);
    const reply = answer(packet.payload, port, server);
    if (!reply) return;
    if (reply.to === 'decline') tellDecline(tap, nowMs);
    log.debug({ tap, to: reply.to }, 'answered a DHCPv6 message');
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
