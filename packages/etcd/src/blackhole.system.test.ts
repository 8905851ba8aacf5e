import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type EtcdProcess, startEtcd } from './testing/etcd-process.ts';

const namespace = `etcd-hole-${process.pid}`;
const inside = ['ip', 'netns', 'exec', namespace] as const;
const sh = (...[program = '', ...args]: readonly string[]): string => execFileSync(program, args, { encoding: 'utf8', stdio: 'pipe' });
const nft = (command: string): string => sh(...inside, 'nft', command);

let server: EtcdProcess;
let child: ChildProcess;
let said: Record<string, unknown>[];
let heard: () => void;

beforeEach(async () => {
  sh('ip', 'netns', 'add', namespace);
  sh(...inside, 'ip', 'link', 'set', 'lo', 'up');
  nft('add table inet hole');
  nft('add chain inet hole input { type filter hook input priority 0; }');
  server = await startEtcd({
    prefix: inside,
    options: ['--listen-client-urls', 'http://127.0.0.1:2379,http://127.0.0.1:2380,http://127.0.0.1:2381'],
    clientPort: 2381,
  });
  said = [];
  heard = () => {};
  child = spawn(
    'ip',
    [
      'netns',
      'exec',
      namespace,
      process.execPath,
      join(import.meta.dirname, 'testing/follow-child.ts'),
      '/a/',
      'http://127.0.0.1:2379',
      'http://127.0.0.1:2380',
    ],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  createInterface({ input: child.stdout! }).on('line', (line) => {
    said.push(JSON.parse(line));
    heard();
  });
});
afterEach(async () => {
  child?.kill('SIGKILL');
  await server?.stop();
  sh('ip', 'netns', 'del', namespace);
});

/** Waits for a message of the child for which this holds, and drops all messages before it. */
async function hear(condition: (what: Record<string, unknown>) => boolean): Promise<Record<string, unknown>> {
  for (;;) {
    const index = said.findIndex(condition);
    if (index >= 0) return said.splice(0, index + 1)[index]!;
    await new Promise<void>((resolve) => {
      heard = resolve;
    });
  }
}
const portOf = ({ endpoint }: Record<string, unknown>): string => String(endpoint).split(':').at(-1)!;
const drop = (port: string): void => {
  nft(`add rule inet hole input tcp dport ${port} drop`);
  nft(`add rule inet hole input tcp sport ${port} drop`);
};

test('when the connection is a black hole, a follower goes over to another endpoint, and back when that becomes one', async () => {
  const first = portOf(await hear(({ state }) => state === 'following'));
  drop(first);
  await server.etcdctl('put', '/a/1', '');
  const second = portOf(await hear(({ state }) => state === 'following'));
  expect(second).not.toBe(first);
  await hear(({ changed }) => Array.isArray(changed) && changed.includes('/a/1'));
  nft('flush chain inet hole input');
  drop(second);
  await server.etcdctl('put', '/a/2', '');
  expect(portOf(await hear(({ state }) => state === 'following'))).toBe(first);
  await hear(({ changed }) => Array.isArray(changed) && changed.includes('/a/2'));
});

test('a client that is closed while every endpoint is a black hole does not keep the process alive', async () => {
  await hear(({ state }) => state === 'following');
  drop('2379');
  drop('2380');
  await hear(({ state }) => state === 'lost');
  child.stdin!.end('close\n');
  const [code] = await once(child, 'exit');
  expect(code).toBe(0);
});
