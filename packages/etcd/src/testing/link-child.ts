// The processes at the two ends of a slow link. `fill ENDPOINT KEYS BYTES` writes keys. `read ENDPOINT READERS SECONDS` follows everything with that many clients
// and prints their progress, one JSON object per line.
import { randomBytes } from 'node:crypto';
import { systemClock } from '@calico-openstack/agent/clock';
import { connectEtcd } from '../client.ts';
import { adaptingPageSize, type PageSize } from '../pages.ts';
import type { ReaderNews } from './slow-link.ts';

const [verb = '', endpoint = '', ...numbers] = process.argv.slice(2);
const [first = 0, second = 0] = numbers.map(Number);
const root = '/calico/resources/v3/projectcalico.org/workloadendpoints/openstack/';

async function fill(keys: number, valueBytes: number): Promise<void> {
  const etcd = connectEtcd({ endpoints: [endpoint] });
  for (let key = 0; key < keys; key += 100) {
    const some = Array.from({ length: Math.min(100, keys - key) }, (_, index) => `${root}host--${key + index}`);
    await etcd.transact(
      [],
      some.map((each) => ({ put: each, value: randomBytes(valueBytes) })),
    );
  }
  etcd.close();
}

function read(readers: number, timeoutMs: number): void {
  const startedMs = performance.now();
  const say = (news: ReaderNews): void => void process.stdout.write(`${JSON.stringify(news)}\n`);
  for (let reader = 0; reader < readers; reader += 1) {
    const keys = new Set<string>();
    let readKeys = 0;
    const pageSize = (): PageSize => {
      const size = adaptingPageSize();
      return {
        get keys() {
          return size.keys;
        },
        onRead(page) {
          readKeys += page.found.length;
          size.onRead(page);
        },
        onFailed: () => size.onFailed(),
      };
    };
    connectEtcd({ endpoints: [endpoint], timeoutMs }, systemClock, { pageSize }).follow([root], {
      onChanges(changes) {
        for (const { key } of changes) keys.add(key);
      },
      onInSync: () => say({ reader, inSyncMs: performance.now() - startedMs, keys: keys.size, readKeys }),
      onState: (state, reason) => say({ reader, state, ...(reason !== undefined && { reason }) }),
    });
  }
  setInterval(() => {}, 60_000); // runs until it is killed
}

if (verb === 'fill') await fill(first, second);
else read(first, second);
