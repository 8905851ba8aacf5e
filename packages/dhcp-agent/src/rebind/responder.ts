// Hears guests' REBIND and DECLINE on the taps, which the guard keeps from Dnsmasq, and answers them for the tap's own port.
import type { Logger } from '@calico-openstack/agent';
import { addressBytes, parseAddress } from '@calico-openstack/datamodel';
import { type Frame, openPacketSocket, parseUdp6, udp6Frame } from '@calico-openstack/kernel';
import type { Links } from '@calico-openstack/kernel/links/link';
import { isTapName } from '../endpoint.ts';
import { answer, type Held, messageType, type Server } from './message.ts';

/** A port as it is served; undefined: none is, on this tap. */
export type PortOf = (tap: string) => (Held & { readonly mac: string }) | undefined;

export type ResponderOptions = { readonly links: Links; readonly server: Server; readonly portOf: PortOf; readonly log: Logger };

const [ip6, clientPort, serverPort] = [0x86dd, 546, 547] as const;

/** For the kernel: IPv6 and UDP without anything between, to DHCPv6's server, of one of the two types. Codes and offsets: linux/filter.h; a frame's first byte is 0. */
const filter = [
  [0x30, 0, 0, 20],
  [0x15, 0, 5, 17],
  [0x28, 0, 0, 56],
  [0x15, 0, 3, serverPort],
  [0x30, 0, 0, 62],
  [0x15, 2, 0, messageType.rebind],
  [0x15, 1, 0, messageType.decline],
  [0x06, 0, 0, 0],
  [0x06, 0, 0, 0xffff_ffff],
] as const;

/** A tap's messages that are answered: so many at once, one more after each such time. A guest rebinds once in hours. */
const budget = { atOnce: 8, everyMs: 250 };
/** That a guest declines is told once in this time. */
const tellEveryMs = 600_000;

/** Listens until closed. @throws NetlinkError */
export function openResponder(options: ResponderOptions): { close(): void } {
  const respond = createResponder(options, (linkIndex, frame) => socket.send(linkIndex, frame));
  const socket = openPacketSocket(ip6, filter, (frame) => respond(frame, performance.now()));
  return socket;
}

export function createResponder({ links, server, portOf, log }: ResponderOptions, send: (linkIndex: number, frame: Uint8Array) => unknown) {
  const budgets = new Map<string, { left: number; atMs: number }>();
  const toldMs = new Map<string, number>();

  function isWithinBudget(tap: string, nowMs: number): boolean {
    const { left, atMs } = budgets.get(tap) ?? { left: budget.atOnce, atMs: nowMs };
    const refill = Math.floor((nowMs - atMs) / budget.everyMs);
    const now = Math.min(budget.atOnce, left + refill);
    budgets.set(tap, { left: Math.max(0, now - 1), atMs: now === budget.atOnce ? nowMs : atMs + refill * budget.everyMs });
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

  return ({ linkIndex, bytes }: Frame, nowMs: number): void => {
    const tap = links.nameOf(linkIndex);
    if (tap === undefined || !isTapName(tap)) return;
    const port = portOf(tap);
    if (!port) {
      budgets.delete(tap);
      toldMs.delete(tap);
      return;
    }
    if (!isWithinBudget(tap, nowMs)) return;
    const packet = parseUdp6(bytes);
    // A guest speaks with its port's MAC, and from a link-local address (RFC 8415 13).
    if (packet?.destinationPort !== serverPort || Buffer.compare(packet.sourceMac, macBytes(port.mac)) !== 0 || !isLinkLocal(packet.source)) return;
    const reply = answer(packet.payload, port, server);
    const mac = links.link(tap)?.mac;
    const own = links.addresses(tap).find(({ address, family }) => family === 6 && address.startsWith('fe80:'));
    if (!reply || mac === undefined || !own) return;
    if (reply.to === 'decline') tellDecline(tap, nowMs);
    log.debug({ tap, to: reply.to }, 'answered by DHCPv6');
    send(
      linkIndex,
      udp6Frame({
        sourceMac: macBytes(mac),
        destinationMac: packet.sourceMac,
        source: addressBytes(parseAddress(own.address)!),
        destination: packet.source,
        sourcePort: serverPort,
        destinationPort: clientPort,
        payload: reply.message,
      }),
    );
  };
}

const macBytes = (mac: string): Uint8Array => Uint8Array.from(mac.split(':'), (byte) => Number.parseInt(byte, 16));
const isLinkLocal = (address: Uint8Array): boolean => address[0] === 0xfe && (address[1]! & 0xc0) === 0x80;
