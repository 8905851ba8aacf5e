// Answers guests' DHCPv6 messages and router solicitations on the taps, and advertises the host as router there. One packet socket receives the frames of all taps before any firewall rule,
// and sends whole frames. A message that arrives before its tap can be answered is answered as soon as possible.
import { addressBytes, linkLocalOf, macBytes } from '@calico-openstack/addresses';
import { type Clock, type Logger, type Loop, StartError, startLoop, systemClock } from '@calico-openstack/agent';
import { type Frame, icmp6Frame, openPacketSocket, type PacketSocket, parseIcmp6, parseUdp6, udp6Frame } from '@calico-openstack/kernel';
import type { Links } from '@calico-openstack/kernel/links/link';
import { isTapName } from '../endpoint.ts';
import type { Ipv6Service } from '../service/service.ts';
import { icmpType, routerAdvertisement } from './advertisement.ts';
import { dhcpServerPort, guestMessages } from './guest-messages.ts';
import { answer, type Server } from './message.ts';

/** The parts that the responder needs. */
export type ResponderOptions = {
  readonly links: Links;
  readonly server: Server;
  /** The port that is served on a tap; undefined when none is. */
  readonly portOf: (tap: string) => Ipv6Service | undefined;
  /** Whether IPv6 is switched off on a tap, so that the host is no router there. */
  readonly isOff?: (tap: string) => boolean;
  /** Called for each answer. */
  readonly answered?: (tap: string, protocol: 'dhcpv6' | 'router-solicitation') => void;
  readonly log: Logger;
  readonly clock?: Clock;
};

/** Serves until closed. */
export interface Responder {
  /** Says that a tap or its port was added, changed or removed. Changes are advertised, and a message that came too early is answered. */
  changed(tap: string): void;
  close(): Promise<void>;
}

const [ip6, clientPort] = [0x86dd, 546] as const;

/** The limit for a tap's messages: `atOnce`, and one more every `everyMs`. A guest that boots sends about five within a second. */
const budget = { atOnce: 16, everyMs: 125 };
/** A guest's DECLINE is logged at most once in this time. */
const tellEveryMs = 600_000;
/** How long a message is kept that cannot be answered yet. By then the guest has repeated it. */
const holdMs = 10_000;
/** The times between advertisements (RFC 4861 6.2.1, 6.2.4 and 10): short between the first ones, and random between the others. */
const advertise = { firstCount: 3, firstEveryMs: 16_000, leastMs: 200_000, mostMs: 600_000 };
/** Advertisements that become due within this time are sent together. */
const togetherMs = 1000;
const allNodes = { mac: Uint8Array.of(0x33, 0x33, 0, 0, 0, 1), address: addressBytes('ff02::1') };

/** Listens and answers until closed. @throws StartError without CAP_NET_RAW */
export function openResponder(options: ResponderOptions): Responder {
  let socket: PacketSocket;
  const responder = createResponder(options, (linkIndex, frame) => socket.send(linkIndex, frame));
  try {
    socket = openPacketSocket(ip6, guestMessages, budget, (frame) => responder.take(frame));
  } catch (error) {
    void responder.close();
    throw new StartError('PACKET_SOCKET_REFUSED', `cannot hear guests' DHCPv6: ${(error as Error).message}; start this agent as root with CAP_NET_RAW`, {
      cause: error,
    });
  }
  if (!socket.isLimited)
    options.log.warn(
      'the kernel refuses this agent’s eBPF socket filter: a guest that floods the host with DHCPv6 keeps other guests’ messages from being answered; start the agent with CAP_BPF, before Linux 5.11 with LimitMEMLOCK=infinity',
    );
  return {
    changed: responder.changed,
    close() {
      socket.close();
      return responder.close();
    },
  };
}

/** The taps' own addresses, by which guests know the host. */
type Host = { readonly index: number; readonly mac: Uint8Array; readonly linkLocal: Uint8Array };
type Question = { readonly frame: Uint8Array; readonly atMs: number };
/** The last advertisement on a tap, and when the next one is due. */
type Advertised = { readonly port: Ipv6Service; readonly host: string; readonly count: number; readonly dueMs: number };

/** The responder without its socket. It reads frames, and sends answers with `send`. */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: its maps are of one set of taps, which come and go together
export function createResponder(
  { links, server, portOf, isOff = () => false, answered, log, clock = systemClock }: ResponderOptions,
  send: (linkIndex: number, frame: Uint8Array) => unknown,
): Responder & { take(frame: Frame): void } {
  const budgets = new Map<string, { left: number; atMs: number }>();
  const toldMs = new Map<string, number>();
  const early = new Map<string, Map<'dhcp' | 'router', Question>>();
  const advertised = new Map<string, Advertised>();

  function isWithinBudget(tap: string, nowMs: number): boolean {
    const { left, atMs } = budgets.get(tap) ?? { left: budget.atOnce, atMs: nowMs };
    const refill = Math.floor((nowMs - atMs) / budget.everyMs);
    const now = Math.min(budget.atOnce, left + refill);
    budgets.set(tap, { left: Math.max(0, now - 1), atMs: now === budget.atOnce ? nowMs : atMs + refill * budget.everyMs });
    return now > 0;
  }

  /**
   * The kernel gives a tap its link-local address up to two seconds after the tap appears, because it searches for duplicates and handles carriers once a second. Until then guests are
   * answered from the address that the kernel is going to make of the tap's MAC (RFC 4291 2.5.1). If it chooses another address, that one is used from then on, and is advertised.
   */
  function hostOn(tap: string): Host | undefined {
    const link = links.link(tap);
    if (link?.mac === undefined || !link.up) return undefined;
    const own = links.addresses(tap).find(({ address, family }) => family === 6 && address.startsWith('fe80:'));
    if (!own && isOff(tap)) return undefined;
    return { index: link.index, mac: macBytes(link.mac), linkLocal: addressBytes(own?.address ?? linkLocalOf(link.mac)) };
  }

  function take({ linkIndex, bytes }: Frame): void {
    const tap = links.nameOf(linkIndex);
    if (tap === undefined || !isTapName(tap)) return;
    const nowMs = clock.steadyMs();
    if (!isWithinBudget(tap, nowMs)) return;
    const [port, host] = [portOf(tap), hostOn(tap)];
    if (port && host) respond(tap, port, host, bytes, nowMs);
    else early.set(tap, (early.get(tap) ?? new Map<'dhcp' | 'router', Question>()).set(parseUdp6(bytes) ? 'dhcp' : 'router', { frame: bytes, atMs: nowMs }));
  }

  /** Whether a message is the port's own: it must have the port's MAC and a link-local source (RFC 8415 13); a router solicitation may have no source address. */
  function respond(tap: string, port: Ipv6Service, host: Host, bytes: Uint8Array, nowMs: number): void {
    const packet = parseUdp6(bytes);
    if (!packet) {
      const solicitation = parseIcmp6(bytes);
      if (solicitation?.message[0] !== icmpType.routerSolicitation || !isPorts(solicitation.sourceMac, port)) return;
      answered?.(tap, 'router-solicitation');
      sendAdvertisement(port, host);
      return;
    }
    if (packet.destinationPort !== dhcpServerPort || !isPorts(packet.sourceMac, port) || !isLinkLocal(packet.source)) return;
    const reply = answer(packet.payload, port, server);
    if (!reply) return;
    if (reply.to === 'decline') tellDecline(tap, nowMs);
    log.debug({ tap, to: reply.to }, 'answered a DHCPv6 message');
    answered?.(tap, 'dhcpv6');
    send(
      host.index,
      udp6Frame({
        sourceMac: host.mac,
        destinationMac: packet.sourceMac,
        source: host.linkLocal,
        destination: packet.source,
        sourcePort: dhcpServerPort,
        destinationPort: clientPort,
        payload: reply.message,
      }),
    );
  }

  function tellDecline(tap: string, nowMs: number): void {
    if (nowMs - (toldMs.get(tap) ?? Number.NEGATIVE_INFINITY) < tellEveryMs) return;
    toldMs.set(tap, nowMs);
    log.warn(
      { tap },
      'the guest declines its IPv6 address as used by somebody else, which cannot be in a routed network; it is offered again; look for what answers for the address inside the guest',
    );
  }

  function sendAdvertisement(port: Ipv6Service, host: Host): void {
    send(
      host.index,
      icmp6Frame({
        sourceMac: host.mac,
        destinationMac: allNodes.mac,
        source: host.linkLocal,
        destination: allNodes.address,
        message: routerAdvertisement(port, host.mac),
      }),
    );
  }

  const loop: Loop = startLoop({
    run() {
      const nowMs = clock.steadyMs();
      for (const [tap, { port, count, dueMs, ...rest }] of advertised) {
        const host = dueMs <= nowMs + togetherMs ? hostOn(tap) : undefined;
        if (!host) continue;
        sendAdvertisement(port, host);
        advertised.set(tap, { port, count: count + 1, dueMs: nowMs + pauseMs(count + 1), ...rest });
      }
      const nextMs = Math.min(...[...advertised.values()].map(({ dueMs }) => dueMs));
      return Number.isFinite(nextMs) ? Math.max(togetherMs, nextMs - nowMs) : undefined;
    },
    onFailure: (error, failures, retryMs) =>
      log.error(
        { err: error, failures, retryMs: Math.round(retryMs) },
        'cannot advertise the host as IPv6 router, so guests may lose their default route after hours; retrying; see the error',
      ),
    clock,
  });

  function changed(tap: string): void {
    const [port, host, nowMs] = [portOf(tap), hostOn(tap), clock.steadyMs()];
    if (!links.link(tap)) for (const map of [budgets, toldMs, early, advertised]) map.delete(tap);
    if (!port) advertised.delete(tap);
    if (!port || !host) return;
    const before = advertised.get(tap);
    const text = `${host.index} ${Buffer.from(host.mac).toString('hex')} ${Buffer.from(host.linkLocal).toString('hex')}`;
    if (before?.port !== port || before.host !== text) {
      sendAdvertisement(port, host);
      advertised.set(tap, { port, host: text, count: 1, dueMs: nowMs + pauseMs(1) });
      loop.wake();
    }
    const questions = [...(early.get(tap)?.values() ?? [])];
    early.delete(tap);
    for (const { frame, atMs } of questions) if (nowMs - atMs < holdMs) respond(tap, port, host, frame, nowMs);
  }

  return { take, changed, close: () => loop.close() };
}

const pauseMs = (count: number): number =>
  count < advertise.firstCount ? advertise.firstEveryMs : advertise.leastMs + Math.random() * (advertise.mostMs - advertise.leastMs);
const isPorts = (mac: Uint8Array, port: Ipv6Service): boolean => Buffer.compare(mac, macBytes(port.mac)) === 0;
const isLinkLocal = (address: Uint8Array): boolean => address[0] === 0xfe && (address[1]! & 0xc0) === 0x80;
