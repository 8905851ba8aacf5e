// Handles DHCPv4 messages that arrive before they can be answered: the port is not known yet, its gateway is not on the tap yet, Dnsmasq has not read the port's files again, or is being
// restarted. Dnsmasq drops such a message, and most clients repeat it only after seconds. This agent receives these messages too, keeps the last one of each tap, and passes it to Dnsmasq
// as soon as the tap is ready.
import { macBytes } from '@calico-openstack/addresses';
import { type Clock, type Logger, systemClock } from '@calico-openstack/agent';
import { type Frame, openPacketSocket, sendUdp4ToSelf } from '@calico-openstack/kernel';
import type { Links } from '@calico-openstack/kernel/links/link';
import type { HostEntry } from './dnsmasq/files.ts';
import { isTapName } from './endpoint.ts';

/** The parts that keeping messages needs. */
export type EarlyOptions = {
  readonly links: Links;
  /** The port that Dnsmasq answers on a tap; undefined when it answers none there yet. */
  readonly portOf: (tap: string) => HostEntry | undefined;
  /** Called for each message of a served port. */
  readonly asked?: (tap: string) => void;
  readonly log: Logger;
  readonly clock?: Clock;
};

/** Keeps messages until closed. */
export interface EarlyQuestions {
  /** Says that a tap was added, changed or removed. */
  changed(tap: string): void;
  /** Says that ports may have been added. */
  portsChanged(): void;
  /** Says that Dnsmasq answers on these taps from now on, after it has read their files again or was restarted. */
  answered(taps: Iterable<string>): void;
  close(): void;
}

const [ip4, serverPort] = [0x0800, 67] as const;
/** The kernel's filter: it passes IPv4 without options, with UDP to DHCP's server port. Codes are those of linux/filter.h; offsets count from the first byte of the frame. */
const filter = [
  [0x30, 0, 0, 14],
  [0x15, 0, 4, 0x45],
  [0x30, 0, 0, 23],
  [0x15, 0, 2, 17],
  [0x28, 0, 0, 36],
  [0x15, 1, 0, serverPort],
  [0x06, 0, 0, 0],
  [0x06, 0, 0, 0xffff_ffff],
] as const;
/** The kernel's limit for each tap: `atOnce`, and one more every `everyMs`. */
const limit = { atOnce: 16, everyMs: 250 };
/** How long a message is kept. By then the client has repeated it. */
const holdMs = 10_000;

/** Listens until closed. If the kernel refuses the socket, that is logged, and clients have to repeat their messages. */
export function openEarlyQuestions(options: EarlyOptions): EarlyQuestions {
  const early = createEarlyQuestions(options, (linkIndex, address, question) => {
    const refusal = sendUdp4ToSelf(linkIndex, address, serverPort, question);
    if (refusal !== undefined) options.log.debug({ address, reason: refusal }, 'cannot pass a DHCPv4 message to Dnsmasq; the guest repeats it');
  });
  try {
    const socket = openPacketSocket(ip4, filter, limit, early.take);
    return { ...early, close: () => socket.close() };
  } catch (error) {
    options.log.warn(
      { err: error },
      'cannot receive guests’ DHCPv4 messages, so one that arrives before its port is answered only when the guest repeats it; start the agent with CAP_NET_RAW',
    );
    return early;
  }
}

/** The part without the socket. It reads frames, keeps messages, and passes them on with `ask`. */
export function createEarlyQuestions(
  { links, portOf, asked, clock = systemClock }: EarlyOptions,
  ask: (linkIndex: number, address: string, question: Uint8Array) => void,
): EarlyQuestions & { take(frame: Frame): void } {
  /**
   * The last message of each link, by the link's index, the oldest first. The name of a new link may not be known yet. Also one that Dnsmasq has got is kept: Dnsmasq may have dropped it, or may
   * have been ended before it answered.
   */
  const kept = new Map<number, { readonly question: Question; readonly atMs: number; hasDnsmasq: boolean }>();
  const ready = new Map<string, Ready>();
  /** The taps on which nothing was passed since Dnsmasq was made to read their files again. */
  const reread = new Set<string>();

  function look(tap: string): Ready | undefined {
    const index = links.link(tap)?.index;
    const port = portOf(tap);
    const wanted = port?.serverAddresses[0]?.address;
    const server = wanted !== undefined && links.addresses(tap).some(({ address }) => address === wanted) ? wanted : undefined;
    const before = ready.get(tap);
    if (index === undefined) reread.delete(tap);
    if (port === undefined || server === undefined || index === undefined) ready.delete(tap);
    else if (before?.server !== server || before.index !== index) ready.set(tap, { port, server, index, isPassed: false, copies: reread.delete(tap) ? 2 : 1 });
    else before.port = port;
    return ready.get(tap);
  }

  function handOn(now: Ready, { mac, message }: Question): void {
    if (Buffer.compare(mac, macBytes(now.port.macs[0]!)) !== 0) return;
    now.isPassed = true;
    for (let copy = 0; copy < now.copies; copy += 1) ask(now.index, now.server, message);
    now.copies = 1;
  }

  function changed(tap: string, again = false): void {
    const now = look(tap);
    const waiting = now && kept.get(now.index);
    if (!waiting || (waiting.hasDnsmasq && !again) || clock.steadyMs() - waiting.atMs >= holdMs) return;
    if (!waiting.hasDnsmasq) asked?.(tap);
    waiting.hasDnsmasq = true;
    handOn(now, waiting.question);
  }

  function keep(linkIndex: number, question: Question, hasDnsmasq: boolean): void {
    const nowMs = clock.steadyMs();
    kept.delete(linkIndex); // so that the message becomes the last one of the map
    kept.set(linkIndex, { question, atMs: nowMs, hasDnsmasq });
    for (const [index, { atMs }] of kept) {
      if (nowMs - atMs < holdMs) break;
      kept.delete(index);
    }
  }

  return {
    changed: (tap) => changed(tap),
    portsChanged() {
      for (const [index, { hasDnsmasq }] of kept) {
        const tap = hasDnsmasq ? undefined : links.knownNameOf(index);
        if (tap !== undefined && isTapName(tap)) changed(tap);
      }
    },
    answered(taps) {
      for (const tap of taps) {
        ready.delete(tap);
        reread.add(tap);
        changed(tap, true);
      }
    },
    take({ linkIndex, bytes }) {
      const question = readQuestion(bytes);
      if (!question) return;
      const tap = links.knownNameOf(linkIndex);
      const now = tap !== undefined && isTapName(tap) ? look(tap) : undefined;
      keep(linkIndex, question, now !== undefined);
      if (tap === undefined || !now) return;
      asked?.(tap);
      if (!now.isPassed) handOn(now, question);
    },
    close: () => undefined,
  };
}

/**
 * A tap on which messages are answered: its port, the host's address there, the link's index, and whether a message was passed since it became ready. The first message that is read after that may have
 * arrived before, because frames wait until they are read. It is passed to Dnsmasq in any case, which answers a message that it gets twice with the same answer. No later one is passed. Otherwise
 * many new guests that repeat their messages would cost Dnsmasq twice the work, Dnsmasq would fall behind, and the guests would repeat even more messages.
 *
 * After SIGHUP two copies are passed. When something else has woken Dnsmasq just before the signal, its poll(2) returns without noticing the signal, and Dnsmasq takes one message before it reads
 * its files. It takes one message in each turn of its loop, so it has read them before it takes the second copy.
 */
type Ready = { port: HostEntry; readonly server: string; readonly index: number; isPassed: boolean; copies: number };

/** A guest's DHCP message, with the MAC of its sender. */
type Question = { readonly mac: Uint8Array; readonly message: Uint8Array };

const [headersBytes, fixedBytes] = [42, 240] as const;
/** DHCPDISCOVER, DHCPREQUEST, DHCPINFORM (RFC 2132 9.6). */
const questions: readonly number[] = [1, 3, 8];

/**
 * Parses a message of a guest for itself (RFC 2131 2); undefined for any other frame. A relay's message is refused too, because the guard drops it, and this
 * path must not bypass the guard.
 */
export function readQuestion(frame: Uint8Array): Question | undefined {
  if (frame.length < headersBytes + fixedBytes + 3) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const end = headersBytes - 8 + view.getUint16(38);
  if (frame[14] !== 0x45 || frame[23] !== 17 || (view.getUint16(20) & 0x3fff) !== 0 || view.getUint16(36) !== serverPort || end > frame.length)
    return undefined;
  const [mac, message] = [frame.subarray(6, 12), frame.subarray(headersBytes, end)];
  if (message.length < fixedBytes + 3) return undefined;
  const isBoot = message[0] === 1 && message[1] === 1 && message[2] === 6 && view.getUint32(headersBytes + 236) === 0x6382_5363;
  const isRelayed = view.getUint32(headersBytes + 24) !== 0;
  const isOwn = Buffer.compare(message.subarray(28, 34), mac) === 0;
  return isBoot && !isRelayed && isOwn && questions.includes(typeOf(message)) ? { mac, message } : undefined;
}

const [padOption, typeOption, endOption] = [0, 53, 255] as const;

/** The message's type (RFC 2132 9.6), 0 when it has none. dhcpcd writes it second in a request for an address that it remembers. */
function typeOf(message: Uint8Array): number {
  for (let at: number = fixedBytes; at + 2 < message.length && message[at] !== endOption; at += message[at] === padOption ? 1 : 2 + message[at + 1]!)
    if (message[at] === typeOption) return message[at + 1] === 1 ? message[at + 2]! : 0;
  return 0;
}
