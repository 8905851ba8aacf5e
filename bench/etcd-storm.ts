// Measures a power return: every host of a cloud reads all of etcd at the same time, over shared links.
import { setTimeout as sleep } from 'node:timers/promises';
import { startEtcd } from '@calico-openstack/etcd/testing/etcd-process';
import { type ReaderNews, slowLink } from '@calico-openstack/etcd/testing/slow-link';
import { memoryOf } from '@calico-openstack/kernel/processes/processes';
import { type Bench, type Measurement, quantile } from './bench.ts';

/** How many readers share a process: a thousand processes would need more memory than the machine has. */
const readersPerProcess = 50;

/** The bench `etcd-storm`. */
export const bench: Bench = {
  description: 'many readers of all of etcd at once behind one shaped link: who gets in sync, when, at what cost for etcd',
  options: {
    readers: 'how many [200]',
    megabits: 'what the link carries, per second [100]',
    keys: 'in etcd [5000]',
    bytes: 'of each value [1000]',
    'timeout-seconds': 'of the readers’ calls [10]',
    'limit-seconds': 'after which the rest counts as not in sync [600]',
  },
  async run(options, progress) {
    const number = (option: string, otherwise: number): number => Number(options.get(option) ?? otherwise);
    return storm(
      {
        readers: number('readers', 200),
        megabits: number('megabits', 100),
        keys: number('keys', 5_000),
        valueBytes: number('bytes', 1_000),
        timeoutMs: 1000 * number('timeout-seconds', 10),
        limitMs: 1000 * number('limit-seconds', 600),
      },
      progress,
    );
  },
};

type Storm = {
  readonly readers: number;
  readonly megabits: number;
  readonly keys: number;
  readonly valueBytes: number;
  readonly timeoutMs: number;
  readonly limitMs: number;
};

async function storm({ readers, megabits, keys, valueBytes, timeoutMs, limitMs }: Storm, progress: (line: string) => void): Promise<Measurement[]> {
  const link = slowLink(megabits);
  const server = await startEtcd({ prefix: link.etcdSide, host: link.etcdAddress, clientPort: 2379 });
  try {
    await link.fill(server.endpoint, keys, valueBytes);
    const atFirst = memoryOf(server.pid ?? 0).residentBytes;
    const seconds: number[] = [];
    const reasons = new Map<string, number>();
    const hear = (news: ReaderNews): void => {
      if ('inSyncMs' in news) {
        if (news.keys !== keys) throw new Error(`a reader is in sync with ${news.keys} keys of ${keys}`);
        seconds.push(news.inSyncMs / 1000);
      } else if (news.state === 'lost') {
        const code = news.reason?.split(':')[0] ?? 'no reason';
        reasons.set(code, (reasons.get(code) ?? 0) + 1);
      }
    };
    for (let left = readers; left > 0; left -= readersPerProcess) link.read(server.endpoint, Math.min(left, readersPerProcess), timeoutMs, hear);
    const untilMs = performance.now() + limitMs;
    for (let told = 0; seconds.length < readers && performance.now() < untilMs; told += 1) {
      await sleep(1000);
      if (told % 20 === 19)
        progress(`${seconds.length} of ${readers} in sync, ${Math.round(link.sentBytes() / 1e6)} MB sent, lost: ${JSON.stringify([...reasons])}`);
    }
    const at = `${readers} readers, ${megabits} Mb/s, ${Math.round((keys * valueBytes) / 1e6)} MB`;
    const round = (value: number): number => Math.round(value * 10) / 10;
    return [
      { metric: 'not in sync', at, value: readers - seconds.length, target: 0 },
      ...(seconds.length > 0 ? [{ metric: 'in sync, p50 s', at, value: round(quantile(seconds, 0.5)) }] : []),
      ...(seconds.length > 0 ? [{ metric: 'in sync, last s', at, value: round(Math.max(...seconds)) }] : []),
      { metric: 'sent, in shares of what all of them need', at, value: round(link.sentBytes() / (readers * keys * valueBytes)) },
      { metric: 'memory that it cost etcd at most, MB', at, value: Math.round((memoryOf(server.pid ?? 0).peakBytes - atFirst) / 1e6) },
      { metric: 'times a reader lost etcd', at, value: [...reasons.values()].reduce((sum, each) => sum + each, 0) },
    ];
  } finally {
    link.close();
    await server.stop();
  }
}
