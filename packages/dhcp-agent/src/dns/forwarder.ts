// Forwards guests' queries for other names to Dnsmasq on the loopback, and its answers back. The rest of a forwarder's work is Dnsmasq's: it retries when a server fails, has a cache, and
// chooses random ports and message ids.
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { createShares, mostWaiting, waitMs } from './limits.ts';

/** The address and port where Dnsmasq answers. No other program is likely to use this address of the loopback, and port 53 of 127.0.0.1 stays free for others. */
export const forwarderAt = { address: '127.0.67.53', port: 53 } as const;

/** Forwards queries to Dnsmasq. */
export interface Forwarder {
  /** Forwards a guest's query by UDP. `answered` is called with Dnsmasq's answer, and not called when none arrives in time. Returns false when too many of the guest's queries are waiting. */
  askUdp(guest: string, message: Uint8Array, answered: (answer: Uint8Array) => void): boolean;
  /** Forwards a query by TCP, for answers of any length. `answered` is called with undefined when there is no answer. */
  askTcp(guest: string, message: Uint8Array, answered: (answer: Uint8Array | undefined) => void): boolean;
  close(): void;
}

/** A query that waits for Dnsmasq's answer: the guest that sent it, the guest's message id, and the timer that ends the wait. */
type Question = {
  readonly guest: string;
  readonly id: readonly [number, number];
  readonly answered: (answer: Uint8Array) => void;
  readonly late: ReturnType<typeof setTimeout>;
};

/** Opens the socket for queries. Dnsmasq need not run yet. */
export function openForwarder({ address, port }: { readonly address: string; readonly port: number } = forwarderAt): Forwarder {
  const shares = createShares(mostWaiting);
  /** The waiting queries, by the message id under which Dnsmasq has them. */
  const waiting = new Map<number, Question>();
  const socket = createSocket('udp4');
  socket.on('error', () => undefined); // Dnsmasq is being restarted; guests repeat their queries
  socket.on('message', (answer) => {
    if (answer.length < 12) return;
    const number = answer.readUInt16BE(0);
    const question = waiting.get(number);
    if (!question) return;
    done(number);
    answer.set(question.id, 0);
    question.answered(answer);
  });
  socket.connect(port, address);

  function done(number: number): void {
    const question = waiting.get(number);
    if (!question) return;
    waiting.delete(number);
    clearTimeout(question.late);
    shares.giveBack(question.guest);
  }

  function freeNumber(): number {
    for (;;) {
      const number = randomInt(0x1_0000);
      if (!waiting.has(number)) return number;
    }
  }

  return {
    askUdp(guest, message, answered) {
      if (waiting.size >= mostInAll || !shares.take(guest)) return false;
      const number = freeNumber();
      waiting.set(number, { guest, id: [message[0]!, message[1]!], answered, late: setTimeout(() => done(number), waitMs) });
      const passed = Uint8Array.from(message);
      passed.set([number >> 8, number & 255], 0);
      send(passed);
      return true;
    },
    askTcp(guest, message, answered) {
      if (!shares.take(guest)) return false;
      askByTcp({ address, port }, message, (answer) => {
        shares.giveBack(guest);
        answered(answer);
      });
      return true;
    },
    close() {
      for (const number of [...waiting.keys()]) done(number);
      socket.close();
    },
  };

  function send(message: Uint8Array): void {
    try {
      socket.send(message, () => undefined);
    } catch {
      // the socket is not connected yet; the guest repeats its query
    }
  }
}

/** The greatest number of waiting queries. Message ids have 16 bits, and a free one must be found quickly. */
const mostInAll = 16_384;

/** Sends one query on a connection of its own, which is closed after the answer, because Dnsmasq serves only twenty connections at the same time. */
function askByTcp(at: { readonly address: string; readonly port: number }, message: Uint8Array, answered: (answer: Uint8Array | undefined) => void): void {
  const connection = connect({ host: at.address, port: at.port });
  let [received, isDone] = [Buffer.alloc(0), false];
  const done = (answer: Uint8Array | undefined): void => {
    if (isDone) return;
    isDone = true;
    connection.destroy();
    answered(answer);
  };
  connection.setTimeout(waitMs, () => done(undefined));
  connection.on('error', () => done(undefined));
  connection.on('close', () => done(undefined));
  connection.on('data', (piece) => {
    received = Buffer.concat([received, piece]);
    if (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) done(received.subarray(2, 2 + received.readUInt16BE(0)));
  });
  connection.write(framed(message));
}

/** A message as it is sent by TCP: behind its length (RFC 1035 4.2.2). */
export const framed = (message: Uint8Array): Uint8Array => Buffer.concat([Buffer.of(message.length >> 8, message.length & 255), message]);
