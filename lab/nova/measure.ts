// Measures what senders notice of a real live migration.
import { join } from 'node:path';
import type { Lab } from '../lab.ts';
import type { Machine } from '../plan.ts';
import { pingStream, type Running, tcpStream } from '../traffic.ts';

/** What was noticed of a move. */
export type Move = {
  /** For how long the guest was stopped, as QEMU says. */
  readonly downtimeMs: number;
  /** From the first frame that shows that the guest runs on the new host to the first datagram that reaches it there, by family. The network's share of the gap. */
  readonly networkMs: Readonly<Record<4 | 6, number>>;
  /** Echo requests that were not answered, by family. One is sent every `pingEveryMs`. */
  readonly lostPings: Readonly<Record<4 | 6, number>>;
  /** For how long a TCP connection stood still, and what broke it; nothing when it lives. */
  readonly tcpStallMs: number;
  readonly tcpTrouble: string;
};

/** The guest that moves. */
export type Moving = { readonly tap: string; readonly address4: string; readonly address6: string };

/** How often an echo request is sent. */
export const pingEveryMs = 20;
const datagramPort = 7001;
/** After a gap TCP waits for twice as long before it sends again, and a machine that is busy with emulation makes QEMU's gap last for seconds. */
const tcpPatienceMs = 30_000;

/** Sends a numbered datagram each millisecond, also when the network says that nobody listens. */
const flood = `import socket, sys, time
sockets = [(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM), (address, ${datagramPort})) for address in sys.argv[1:]]
begin, sent = time.monotonic(), 0
while True:
    while sent < (time.monotonic() - begin) * 1000:
        sent += 1
        for each, to in sockets:
            try: each.sendto(sent.to_bytes(8, "big"), to)
            except OSError: pass
    time.sleep(0.001)`;

/**
 * Sends to the guest while `move` runs: datagrams, 1 000 a second in each family, from `third`; echo requests and a TCP connection from the router.
 * @param move carries the migration out, and returns QEMU's own downtime in milliseconds
 */
export async function measureMove(lab: Lab, guest: Moving, target: Machine, third: Machine, move: () => Promise<number>): Promise<Move> {
  const { processes } = lab;
  const python = '/usr/bin/python3';
  const first = processes.spawn(python, [join(import.meta.dirname, '../guest/first.py'), guest.tap, String(datagramPort)], { on: target });
  const sender = processes.spawn(python, ['-c', flood, guest.address4, guest.address6], { on: third });
  let said = '';
  first.stdout?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const running: Running<unknown>[] = [];
  const untilStopped = async <Report>(starting: Promise<Running<Report>>): Promise<Running<Report>> => {
    const started = await starting;
    running.push(started);
    return started;
  };
  try {
    const ping4 = await untilStopped(pingStream(lab, lab.router, guest.address4, pingEveryMs));
    const tcp = await untilStopped(tcpStream(lab, lab.router, guest.address4, 80, { intervalMs: pingEveryMs, patienceMs: tcpPatienceMs }));
    const ping6 = await untilStopped(pingStream(lab, third, guest.address6, pingEveryMs));
    const downtimeMs = await move();
    await processes.until(`datagrams on ${guest.tap} of ${target.name}`, () => said.includes('\n') || undefined, { timeoutMs: 120_000 });
    const seen = JSON.parse(said) as Readonly<Record<'heard' | '4' | '6', number>>;
    const [pings4, pings6, stream] = [await ping4.stop(), await ping6.stop(), await tcp.stop()];
    running.length = 0;
    const after = (seconds: number): number => Math.max(0, Math.round((seconds - seen.heard) * 10_000) / 10);
    return {
      downtimeMs,
      networkMs: { 4: after(seen['4']), 6: after(seen['6']) },
      lostPings: { 4: pings4.sent - pings4.received, 6: pings6.sent - pings6.received },
      tcpStallMs: Math.round(stream.longestSilenceSeconds * 1000),
      tcpTrouble: stream.trouble,
    };
  } finally {
    first.kill('SIGKILL');
    sender.kill('SIGKILL');
    // What still runs after a failure would load the machine during the next measurement. The failure itself is what the caller has to know.
    await Promise.allSettled(running.map((each) => each.stop()));
  }
}
