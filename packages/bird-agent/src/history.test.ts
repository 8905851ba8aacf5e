import { resourceKey } from '@calico-openstack/datamodel';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { beforeEach, expect, test } from 'vitest';
import { recallFormer } from './history.ts';
import { createResourceStore, type ResourceStore } from './store.ts';
import { bytes } from './testing/bytes.ts';

const key = resourceKey({ plural: 'bgpconfigurations', name: 'default' });
const spec = (asNumber: unknown): Uint8Array => bytes({ asNumber });

let etcd: ReturnType<typeof fakeEtcd>['etcd'];
let store: ResourceStore;
beforeEach(() => {
  ({ etcd } = fakeEtcd());
  store = createResourceStore({
    ownName: 'h1',
    onFault: (error) => {
      throw error;
    },
  });
});

/** The value that a new agent uses after these values have been written one after the other; undefined stands for a deletion. */
async function recalled(values: readonly unknown[], forget = 0): Promise<unknown> {
  for (const value of values) {
    await etcd.transact([], [value === undefined ? { delete: key } : { put: key, value: spec(value) }]);
    await etcd.transact([], [{ put: `${key}-other`, value: spec(1) }]);
  }
  const { found, revision } = await etcd.get(key);
  if (forget > 0) await etcd.compact(revision - forget);
  store.apply([found!]);
  await recallFormer(etcd, key, store.recall);
  const configuration = store.resources.configurations.get('default');
  return configuration?.ok ? configuration.value.asNumber : 'nothing';
}

test.each<readonly [string, readonly unknown[], unknown]>([
  ['the value before a slip', [64999, 'AS1'], 64999],
  ['the newest that is understood, behind several slips', [1, 64999, 'AS1', 'AS2'], 64999],
  ['nothing, where there was only ever a slip', ['AS1', 'AS2'], 'nothing'],
  ['nothing of a resource that was deleted since', [64999, undefined, 'AS1'], 'nothing'],
])('a new agent goes by %s', async (_, values, expected) => {
  expect(await recalled(values)).toBe(expected);
  expect(store.resources.outdated.size).toBe(expected === 'nothing' ? 0 : 1);
});

test('what etcd has forgotten is not found, and is no error', async () => expect(await recalled([64999, 'AS1', 'AS2'], 1)).toBe('nothing'));
