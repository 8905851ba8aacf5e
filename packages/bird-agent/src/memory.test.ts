import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resourceKey } from '@calico-openstack/datamodel';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { resourceMemory } from './memory.ts';
import { createResourceStore } from './store.ts';
import { bytes } from './testing/bytes.ts';
import { understoodFile } from './understood.ts';

const key = resourceKey({ plural: 'bgpconfigurations', name: 'default' });

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'bird-memory-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function setUp() {
  const { etcd } = fakeEtcd();
  let reads = 0;
  const counting = {
    ...etcd,
    get(asked: string) {
      reads += 1;
      return etcd.get(asked);
    },
  };
  const store = createResourceStore({
    ownName: 'h1',
    onFault: (error) => {
      throw error;
    },
  });
  const path = join(directory, 'late', 'bird.conf.understood');
  const memory = resourceMemory({ etcd: counting, store, file: understoodFile(path), ownName: 'h1' });
  const put = async (asNumber: unknown): Promise<void> => {
    await etcd.transact([], [{ put: key, value: bytes({ asNumber }) }]);
    store.apply([(await etcd.get(key)).found!]);
  };
  return { etcd, store, path, memory, put, reads: () => reads };
}

test('what cannot be written is told, and written when it can be', async () => {
  const { path, memory, put } = setUp();
  await put(64999);
  expect(await memory.remember()).toMatchObject([{ key: path, reason: expect.stringContaining('ENOENT') }]);
  mkdirSync(join(directory, 'late'));
  expect(await memory.remember()).toEqual([]);
  expect(readFileSync(path, 'utf8')).toContain('64999');
  rmSync(path);
  expect(await memory.remember()).toEqual([]); // there is nothing new, so nothing is written
  expect(existsSync(path)).toBe(false);
});

test('a value that is not understood is looked up once, and again when it has changed or when etcd was away', async () => {
  const { etcd, store, memory, put, reads } = setUp();
  await put('AS1');
  etcd.cut(true);
  await memory.recall();
  etcd.cut(false);
  for (let round = 0; round < 3; round += 1) await memory.recall();
  expect(reads()).toBe(2);
  await put('AS2');
  for (let round = 0; round < 3; round += 1) await memory.recall();
  expect(reads()).toBe(3);
  await put(64999);
  await memory.recall();
  expect([reads(), store.resources.configurations.get('default')?.ok]).toEqual([3, true]);
});

test('this host’s Node is found too, and another’s not looked for', async () => {
  const { etcd, store, memory, reads } = setUp();
  for (const name of ['h1', 'h2']) {
    const node = resourceKey({ plural: 'nodes', name });
    for (const value of [bytes({ bgp: { ipv4Address: '192.0.2.1/24' } }), '{']) await etcd.transact([], [{ put: node, value }]);
    store.apply([(await etcd.get(node)).found!]);
  }
  await memory.recall();
  expect([...store.resources.nodes].map(([name, { ok }]) => [name, ok])).toEqual([
    ['h1', true],
    ['h2', false],
  ]);
  expect(reads()).toBe(1);
});
