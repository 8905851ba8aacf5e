// Sends packets between machines of the lab, for tests and the demo.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseFrame, type Seen } from './frames.ts';
import type { Lab } from './lab.ts';
import type { Machine } from './plan.ts';
import type { Service } from './process.ts';

const python = '/usr/bin/python3';
const script = (name: string): string => join(import.meta.dirname, 'guest', name);

/** The result of a series of echo requests. `averageMs` is the average round-trip time; undefined when no answer came. */
export type PingReport = { readonly sent: number; readonly received: number; readonly averageMs: number | undefined };

/** How many requests, how often, and how long to wait for an answer. */
export type PingOptions = { readonly count?: number; readonly intervalMs?: number; readonly timeoutMs?: number };

/** Sends echo requests, waits `timeoutMs` for the last answer, and counts the answers. */
export async function ping(lab: Lab, from: Machine, to: string, { count = 3, intervalMs = 100, timeoutMs = 1_000 }: PingOptions = {}): Promise<PingReport> {
  const args = ['-n', '-q', '-c', String(count), '-i', String(intervalMs / 1000), '-W', String(timeoutMs / 1000), to];
  const { stdout, stderr } = await lab.processes.attempt('ping', args, { on: from });
  return parsePing(stdout, stderr);
}

/** Parses ping's summary. Throws when there is none, because ping did not get as far as sending. */
export function parsePing(stdout: string, stderr = ''): PingReport {
  const counts = /(\d+) packets transmitted, (\d+) received/.exec(stdout);
  if (counts === null) throw new Error(`ping did not say how many packets it sent: ${stdout}${stderr}`);
  const average = /= [\d.]+\/([\d.]+)\//.exec(stdout)?.[1];
  return { sent: Number(counts[1]), received: Number(counts[2]), averageMs: average === undefined ? undefined : Number(average) };
}

/** Parses ping's lines, one for each answer. */
export function parsePingLines(stdout: string): PingReport {
  const answers = new Map([...stdout.matchAll(/icmp_seq=(\d+) .*time=([\d.]+) ms/g)].map(([, sequence, ms]) => [Number(sequence), Number(ms)]));
  const total = [...answers.values()].reduce((sum, ms) => sum + ms, 0);
  return { sent: Math.max(0, ...answers.keys()), received: answers.size, averageMs: answers.size === 0 ? undefined : total / answers.size };
}

/** Starts it. When that fails, it does not go on sending. */
async function startOrEnd(service: Service): Promise<void> {
  try {
    await service.start();
  } catch (error) {
    service.kill('SIGKILL');
    throw error;
  }
}

/** The result of one attempt: an answer, a refusal by the other side, nothing, or an error of the own machine or a router that there is no route. */
export type Reach = 'answered' | 'refused' | 'silence' | 'unreachable';

/** How long to wait, and from which port to send. */
export type ReachOptions = { readonly timeoutMs?: number; readonly fromPort?: number };

/** Tries one TCP connection or one UDP datagram to a port that `listen` may have opened. */
export async function reach(
  lab: Lab,
  from: Machine,
  protocol: 'tcp' | 'udp',
  to: string,
  port: number,
  { timeoutMs = 1_000, fromPort }: ReachOptions = {},
): Promise<Reach> {
  const args = [script('reach.py'), protocol, to, String(port), String(timeoutMs / 1000), ...(fromPort === undefined ? [] : [String(fromPort)])];
  return (await lab.processes.run(python, args, { on: from })).trim() as Reach;
}

/** Opens ports that echo, like `tcp:80` and `udp:53`, in both families. Resolves when they are open. */
export async function listen(lab: Lab, on: Machine, ports: readonly string[]): Promise<Service> {
  const service = lab.processes.service({
    name: `${on.name}/echo`,
    on,
    command: python,
    args: [script('echo.py'), ...ports],
    ready: async (hopeful) => {
      await lab.processes.until('open ports', () => service.said().includes('listening') || undefined, { hopeful, intervalMs: 5 });
    },
  });
  await service.start();
  return service;
}

/** The result of a stream of records. */
export type StreamReport = {
  readonly sent: number;
  readonly received: number;
  readonly longestSilenceSeconds: number;
  /** The fault that was found; empty when there was none. */
  readonly trouble: string;
};

/** Traffic that runs until it is stopped. */
export interface Running<Report> {
  /** Stops it and returns the report. */
  stop(): Promise<Report>;
}

/**
 * Opens a TCP connection that sends a numbered record to an echoing port at each interval until it is stopped. Resolves when the first record has come back. At the end, records that are
 * still under way are awaited until nothing has come back for `patienceMs`.
 */
export async function tcpStream(
  lab: Lab,
  from: Machine,
  to: string,
  port: number,
  { intervalMs = 10, patienceMs = 10_000 }: { readonly intervalMs?: number; readonly patienceMs?: number } = {},
): Promise<Running<StreamReport>> {
  const service = lab.processes.service({
    name: `${from.name}/stream`,
    on: from,
    command: python,
    args: [script('stream.py'), to, String(port), String(intervalMs / 1000), String(patienceMs / 1000)],
    ready: async (hopeful) => {
      await lab.processes.until('the first record to come back', () => service.said().includes('streaming') || undefined, { hopeful, intervalMs: 5 });
    },
  });
  await startOrEnd(service);
  return {
    async stop() {
      await service.stop(patienceMs + 20_000);
      return JSON.parse(service.said().trimEnd().split('\n').at(-1) ?? '') as StreamReport;
    },
  };
}

/**
 * Sends an echo request at each interval until it is stopped. Resolves when the first answer has arrived. Counts up to the last request that was answered: those still under way
 * at the end count neither as sent nor as lost. Works for up to 65 535 requests.
 */
export async function pingStream(lab: Lab, from: Machine, to: string, intervalMs = 10): Promise<Running<PingReport>> {
  const service = lab.processes.service({
    name: `${from.name}/ping`,
    on: from,
    command: 'ping',
    args: ['-n', '-i', String(intervalMs / 1000), to],
    ready: async (hopeful) => {
      await lab.processes.until('the first answer', () => service.said().includes(' bytes from ') || undefined, { hopeful, intervalMs: 5 });
    },
  });
  await startOrEnd(service);
  return {
    async stop() {
      service.kill('SIGINT');
      await service.ended();
      return parsePingLines(service.said());
    },
  };
}

/** Sends raw frames on an interface, such as no honest guest would send. */
export async function sendFrames(lab: Lab, on: Machine, device: string, frames: readonly Uint8Array[]): Promise<void> {
  const input = frames.map((frame) => `${Buffer.from(frame).toString('hex')}\n`).join('');
  await lab.processes.run(python, [script('frames.py'), 'send', device], { on, input });
}

/** A captured frame. `seconds`: since the epoch. */
export type Captured = Seen & { readonly direction: 'in' | 'out'; readonly seconds: number };

/** A running capture. */
export interface Capture {
  /** All frames so far. */
  readonly frames: readonly Captured[];
  /** Resolves with the first frame, past or future, for which `like` holds. NOT_READY when none arrives in time. */
  seen(what: string, like: (frame: Captured) => boolean): Promise<Captured>;
  stop(): Promise<void>;
}

/** Captures every frame on an interface: incoming ones before the machine's filters, outgoing ones after them. Resolves when no frame is missed any more. */
export async function capture(lab: Lab, on: Machine, device: string): Promise<Capture> {
  const child = lab.processes.spawn(python, [script('frames.py'), 'watch', device], { on });
  const frames: Captured[] = [];
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString('utf8');
  });
  let watching = false;
  if (child.stdout !== null) {
    createInterface(child.stdout).on('line', (line) => {
      const [seconds, direction, hex] = line.split(' ');
      if (hex === undefined) watching = true;
      else frames.push({ ...parseFrame(Buffer.from(hex, 'hex')), direction: direction === 'out' ? 'out' : 'in', seconds: Number(seconds) });
    });
  }
  const hopeful = (): void => {
    if (child.exitCode !== null) throw new Error(`the capture on ${device} of ${on.name} ended: ${said}`);
  };
  await lab.processes.until(`a capture on ${device} of ${on.name}`, () => watching || undefined, { hopeful, intervalMs: 5 });
  return {
    frames,
    seen: (what, like) => lab.processes.until(what, () => frames.find(like), { intervalMs: 5, hopeful }),
    async stop() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** The content of a file in a machine's folder, for tests that read leases and logs. */
export const fileOf = (lab: Lab, on: Machine, ...path: readonly string[]): string => readFileSync(join(lab.directory, on.name, ...path), 'utf8');
