// A program of the bench `live-migration`. It runs as `receive` in the VM and as `send LABEL ADDRESS…` elsewhere. Senders stamp each datagram with the machine's steady clock. The receiver
// computes from the stamps how long each flow was interrupted, so that a sender that stalls does not look like a gap. For each line on its standard input the receiver prints its results since
// the last line.
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';

const port = 7001;
const [datagramsPerSecond, segmentsPerSecond] = [1000, 100];
const nowUs = (): number => Number(process.hrtime.bigint() / 1000n);

/** The results for one flow since the last line of input. */
export type FlowReport = {
  readonly received: number;
  readonly lost: number;
  /** The greatest time between the sending of two datagrams that arrived, when all between them were lost; for TCP between two arrivals. */
  readonly longestGapMs: number;
  /** The time since the last arrival. */
  readonly silentMs: number;
};

type Flow = { sequence: number; sentUs: number; arrivedUs: number; received: number; lost: number; longestGapUs: number };

const flows = new Map<string, Flow>();
const flowOf = (label: string): Flow => {
  const flow = flows.get(label) ?? { sequence: -1, sentUs: 0, arrivedUs: nowUs(), received: 0, lost: 0, longestGapUs: 0 };
  flows.set(label, flow);
  return flow;
};

function receive(): void {
  for (const family of ['udp4', 'udp6'] as const) {
    const socket = createSocket({ type: family, ...(family === 'udp6' && { ipv6Only: true }), recvBufferSize: 4 << 20 });
    socket.on('message', (bytes) => {
      const flow = flowOf(`${bytes.toString('latin1', 16)} UDP IPv${family.at(-1)}`);
      const [sequence, sentUs] = [bytes.readUIntBE(0, 6), bytes.readUIntBE(8, 6)];
      const lost = flow.sequence < 0 ? 0 : sequence - flow.sequence - 1;
      if (lost < 0) return; // a later datagram overtook this one over the new route
      if (lost > 0) flow.longestGapUs = Math.max(flow.longestGapUs, sentUs - flow.sentUs);
      Object.assign(flow, { sequence, sentUs, arrivedUs: nowUs(), received: flow.received + 1, lost: flow.lost + lost });
    });
    socket.bind(port, family === 'udp4' ? '0.0.0.0' : '::');
  }
  const server = createServer((socket) => {
    let label: string | undefined;
    socket.on('data', (bytes) => {
      label ??= `${bytes.toString('latin1').split('\n')[0]} TCP IPv${socket.remoteFamily === 'IPv6' && !socket.remoteAddress?.startsWith('::ffff:') ? 6 : 4}`;
      const flow = flowOf(label);
      const arrivedUs = nowUs();
      if (flow.received > 0) flow.longestGapUs = Math.max(flow.longestGapUs, arrivedUs - flow.arrivedUs);
      Object.assign(flow, { arrivedUs, received: flow.received + 1 });
      socket.write('+');
    });
    socket.on('error', () => undefined);
  });
  server.listen(port, '::', () => process.stdout.write('ready\n'));
  process.stdin.on('data', () => {
    const reports = [...flows].map(([label, { received, lost, longestGapUs, arrivedUs }]): [string, FlowReport] => [
      label,
      { received, lost, longestGapMs: longestGapUs / 1000, silentMs: (nowUs() - arrivedUs) / 1000 },
    ]);
    for (const flow of flows.values()) Object.assign(flow, { received: 0, lost: 0, longestGapUs: 0 });
    process.stdout.write(`${JSON.stringify(Object.fromEntries(reports))}\n`);
  });
}

/** Calls `act` this many times a second on average. */
function pace(perSecond: number, act: (sequence: number) => void): void {
  const startMs = performance.now();
  let sequence = 0;
  setInterval(() => {
    const due = ((performance.now() - startMs) * perSecond) / 1000;
    while (sequence < due) act(sequence++);
  }, 1);
}

function send(label: string, addresses: readonly string[]): void {
  for (const address of addresses) {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    socket.on('error', () => undefined);
    const bytes = Buffer.concat([Buffer.alloc(16), Buffer.from(label)]);
    socket.connect(port, address, () =>
      pace(datagramsPerSecond, (sequence) => {
        const datagram = Buffer.from(bytes);
        datagram.writeUIntBE(sequence, 0, 6);
        datagram.writeUIntBE(nowUs(), 8, 6);
        socket.send(datagram, () => undefined);
      }),
    );
    const stream = connect(port, address, () => {
      stream.setNoDelay(true);
      stream.write(`${label}\n`);
      pace(segmentsPerSecond, () => stream.write('.'.repeat(100)));
    });
    stream.on('data', () => undefined);
    stream.on('error', ({ message }) => process.stdout.write(`the TCP connection to ${address} broke: ${message}\n`));
  }
}

const [role, ...rest] = process.argv.slice(2);
if (role === 'receive') receive();
else send(rest[0]!, rest.slice(1));
