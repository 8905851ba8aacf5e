// Sees every value that is ever written below a prefix of etcd, also those that are overwritten at once.
import { createInterface } from 'node:readline';
import type { Lab } from '../../../../lab/lab.ts';
import { until } from '../../../../lab/wait.ts';

/** A write: the value is undefined for a deletion. */
export type Write = { readonly key: string; readonly value: string | undefined };

/** Starts to watch. The result's `end` resolves when every write before its call was seen. */
export async function witness({ etcd, processes, plan }: Lab, prefix: string, onWrite: (write: Write) => void): Promise<{ end(): Promise<void> }> {
  const { username, password } = etcd.administrator ?? {};
  const user = username === undefined ? [] : ['--user', `${username}:${password}`];
  const child = processes.spawn('etcdctl', ['--endpoints', etcd.endpoint, ...user, 'watch', '--prefix', prefix, '-w', 'json'], {
    on: plan.control,
    env: { ETCDCTL_API: '3' },
  });
  const marker = `${prefix}a-mark-of-the-witness`;
  let marks = 0;
  const text = (base64 = ''): string => Buffer.from(base64, 'base64').toString();
  createInterface({ input: child.stdout! }).on('line', (line) => {
    const { Events = [] } = JSON.parse(line) as { Events?: { type?: number; kv: { key: string; value?: string } }[] };
    for (const { type, kv } of Events) {
      const key = text(kv.key);
      if (key === marker) marks += 1;
      else onWrite({ key, value: type === 1 ? undefined : text(kv.value) });
    }
  });
  /** Resolves when the watch shows a mark that was written after the call. */
  const marked = async (): Promise<void> => {
    const before = marks;
    await until(
      'the witness to see a mark',
      async () => {
        await etcd.ctl('put', marker, '');
        return marks > before || undefined;
      },
      { intervalMs: 200 },
    );
  };
  await marked();
  return {
    async end() {
      await marked();
      await marked(); // the first mark may have been written before the call
      child.kill('SIGKILL');
      await etcd.ctl('del', marker);
    },
  };
}
