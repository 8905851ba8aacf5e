// Two network namespaces joined by a slow link: etcd on one side, its readers on the other.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** A message of `link-child.ts` about one of its readers. `keys`: how many it knows. `readKeys`: how many all its pages together had. */
export type ReaderNews =
  | { readonly reader: number; readonly state: string; readonly reason?: string }
  | { readonly reader: number; readonly inSyncMs: number; readonly keys: number; readonly readKeys: number };

/** The link and what runs at its ends. */
export interface SlowLink {
  /** Put in front of commands to run them on etcd's side; and that side's address. */
  readonly etcdSide: readonly string[];
  readonly etcdAddress: string;
  /** How many bytes have gone from etcd's side to the readers. */
  sentBytes(): number;
  /** Writes this many keys with values of this many bytes, from etcd's side. */
  fill(endpoint: string, keys: number, valueBytes: number): Promise<void>;
  /** Starts a process with this many readers, each with a client of its own that follows everything. `close` ends it. */
  read(endpoint: string, readers: number, timeoutMs: number, onNews: (news: ReaderNews) => void): ChildProcess;
  close(): void;
}

let links = 0;

/** Creates the namespaces. At most `megabits` per second pass from etcd to the readers. Needs root and tc. */
export function slowLink(megabits: number): SlowLink {
  links += 1;
  const name = `etcd-slow-${process.pid}-${links}`;
  const [near, far] = [`${name}-etcd`, `${name}-far`];
  const sh = (...[program = '', ...args]: readonly string[]): string => execFileSync(program, args, { encoding: 'utf8', stdio: 'pipe' });
  const inside = (namespace: string): readonly string[] => ['ip', 'netns', 'exec', namespace];
  const children = new Set<ChildProcess>();
  const child = (namespace: string, ...args: readonly string[]): ChildProcess => {
    const [program = '', ...rest] = [
      'setpriv',
      '--pdeathsig',
      'KILL',
      ...inside(namespace),
      process.execPath,
      join(import.meta.dirname, 'link-child.ts'),
      ...args,
    ];
    const started = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
    children.add(started);
    started.once('exit', () => children.delete(started));
    return started;
  };

  function close(): void {
    for (const each of children) each.kill('SIGKILL');
    for (const namespace of [near, far])
      try {
        sh('ip', 'netns', 'del', namespace);
      } catch {
        // the namespace was never created
      }
  }

  try {
    for (const namespace of [near, far]) {
      sh('ip', 'netns', 'add', namespace);
      sh('ip', '-n', namespace, 'link', 'set', 'lo', 'up');
    }
    sh('ip', '-n', near, 'link', 'add', 'slow', 'type', 'veth', 'peer', 'name', 'slow', 'netns', far);
    for (const [namespace, address] of [
      [near, '198.51.100.1/24'],
      [far, '198.51.100.2/24'],
    ] as const) {
      sh('ip', '-n', namespace, 'address', 'add', address, 'dev', 'slow');
      sh('ip', '-n', namespace, 'link', 'set', 'slow', 'up');
    }
    sh('tc', '-n', near, 'qdisc', 'add', 'dev', 'slow', 'root', 'tbf', 'rate', `${megabits}mbit`, 'burst', '32kb', 'latency', '300ms');
  } catch (error) {
    close();
    throw error;
  }

  return {
    etcdSide: inside(near),
    etcdAddress: '198.51.100.1',
    sentBytes: () => Number(JSON.parse(sh('ip', '-n', near, '-json', '-stats', 'link', 'show', 'dev', 'slow'))[0].stats64.tx.bytes),
    fill: (endpoint, keys, valueBytes) =>
      new Promise((resolve, reject) => {
        const filling = child(near, 'fill', endpoint, String(keys), String(valueBytes));
        filling.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`filling etcd ended with ${code}`))));
      }),
    read(endpoint, readers, timeoutMs, onNews) {
      const reading = child(far, 'read', endpoint, String(readers), String(timeoutMs));
      createInterface({ input: reading.stdout! }).on('line', (line) => onNews(JSON.parse(line)));
      return reading;
    },
    close,
  };
}
