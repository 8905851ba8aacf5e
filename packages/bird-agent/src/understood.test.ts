import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createResourceStore } from './store.ts';
import { bytes } from './testing/bytes.ts';
import { nodeSpec } from './testing/facts.ts';
import { type Understood, understoodFile } from './understood.ts';

const key = (name: string): string => `/calico/resources/v3/projectcalico.org/${name}`;
const change = (name: string, value: Uint8Array | undefined, modRevision: number) => ({ key: key(name), value, modRevision });
const storeAfter = (before?: ReadonlyMap<string, Understood>) =>
  createResourceStore({
    ownName: 'h1',
    ...(before && { before }),
    onFault: (error) => {
      throw error;
    },
  });
const good = bytes({ asNumber: 64999 }, { uid: 'u1' });
const slip = bytes({ asNumber: 'AS1' }, { uid: 'u1' });
const asNumber = (store: ReturnType<typeof storeAfter>): unknown => {
  const found = store.resources.configurations.get('default');
  return found?.ok ? found.value.asNumber : found?.reason;
};

/** The memory of an agent that has seen a valid BGPConfiguration `default` at revision 5. */
function remembered(): ReadonlyMap<string, Understood> {
  const store = storeAfter();
  store.apply([change('bgpconfigurations/default', good, 5)]);
  return store.toRemember()!;
}

describe('an agent that is started anew and finds a slip', () => {
  test.each<readonly [string, Uint8Array, number, unknown]>([
    ['goes by the last value of the same resource', slip, 6, 64999],
    ['and where the new one is past reading', Buffer.from('{'), 6, 64999],
    ['not by that of one that was deleted since', bytes({ asNumber: 'AS1' }, { uid: 'u2' }), 6, expect.stringContaining('asNumber')],
    ['nor of a datastore that is younger than it', slip, 5, expect.stringContaining('asNumber')],
  ])('%s', (_, value, modRevision, expected) => {
    const store = storeAfter(remembered());
    store.apply([change('bgpconfigurations/default', value, modRevision)]);
    expect(asNumber(store)).toEqual(expected);
    expect(store.resources.outdated.has('BGPConfiguration default')).toBe(expected === 64999);
  });

  test('remembers the former value on, not the slip', () => {
    const store = storeAfter(remembered());
    store.apply([change('bgpconfigurations/default', slip, 6)]);
    expect(store.toRemember()).toEqual(remembered());
  });

  test('a resource that is deleted while it runs is forgotten', () => {
    const store = storeAfter(remembered());
    store.apply([change('bgpconfigurations/default', undefined, 6), change('bgpconfigurations/default', slip, 7)]);
    expect(asNumber(store)).toContain('asNumber');
    expect(store.toRemember()).toEqual(new Map());
  });

  test('a resource that is not there any more is not brought back', () => {
    const store = storeAfter(remembered());
    store.apply([change('nodes/h1', bytes(nodeSpec(1)), 7)]);
    expect(asNumber(store)).toBeUndefined();
    expect([...store.toRemember()!.keys()]).toEqual([key('nodes/h1')]);
  });
});

test('of other hosts’ Nodes only those are remembered that stand for one that is not understood, and no LiveMigration', () => {
  const store = storeAfter();
  store.apply(['nodes/h1', 'nodes/h2', 'nodes/h3'].map((name, number) => change(name, bytes(nodeSpec(number + 1)), 1)));
  store.apply([change('livemigrations/openstack/m', bytes({}), 1)]);
  expect([...store.toRemember()!.keys()]).toEqual([key('nodes/h1')]);
  expect(store.toRemember()).toBeUndefined();
  store.apply([change('nodes/h2', bytes(nodeSpec(2, { asNumber: 'AS1' })), 2)]);
  expect([...store.toRemember()!.keys()]).toEqual([key('nodes/h1'), key('nodes/h2')]);
  store.apply([change('nodes/h3', bytes(nodeSpec(4)), 3)]);
  expect(store.toRemember()).toBeUndefined();
  store.apply([change('nodes/h2', bytes(nodeSpec(2)), 4)]);
  expect([...store.toRemember()!.keys()]).toEqual([key('nodes/h1')]);
});

describe('the file', () => {
  let directory: string;
  let path: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'bird-understood-'));
    path = join(directory, 'bird.conf.understood');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  test('gives back what was written, and is not written anew for the same', async () => {
    expect(await understoodFile(path).read()).toEqual({ ok: true, value: new Map() });
    await understoodFile(path).write(remembered());
    const file = understoodFile(path);
    const read = await file.read();
    expect(read.ok && [...read.value].map(([name, { modRevision, value }]) => [name, modRevision, Buffer.from(value).toString()])).toEqual([
      [key('bgpconfigurations/default'), 5, Buffer.from(good).toString()],
    ]);
    const { ino } = statSync(path);
    await file.write(remembered());
    expect(statSync(path).ino).toBe(ino);
    expect(statSync(path).mode & 0o007).toBe(0);
  });

  test.each(['{', '[]', '{"a":1}', '{"a":{"modRevision":"1","value":""}}', '{"a":{"modRevision":1}}'])('%s is refused', async (text) => {
    writeFileSync(path, text);
    expect(await understoodFile(path).read()).toMatchObject({ ok: false });
  });
});
