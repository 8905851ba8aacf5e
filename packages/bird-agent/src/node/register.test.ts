import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { expect, test } from 'vitest';
import { registerNode } from './register.ts';
import type { Registration } from './registration.ts';

const key = '/calico/resources/v3/projectcalico.org/nodes/h1';
const wanted: Registration = { ipv4Address: '192.0.2.1/30', ipv6Address: undefined, asNumber: undefined };
const now = (): Date => new Date('2026-11-24T10:00:00Z');

test('a host registers once', async () => {
  const { etcd, contents } = fakeEtcd();
  expect(await registerNode(etcd, 'h1', () => wanted, now)).toEqual({ outcome: 'written' });
  expect(JSON.parse(contents()[key]!)).toMatchObject({
    metadata: { name: 'h1', creationTimestamp: '2026-11-24T10:00:00Z' },
    spec: { bgp: { ipv4Address: '192.0.2.1/30' } },
  });
  expect(await registerNode(etcd, 'h1', () => wanted, now)).toEqual({ outcome: 'right' });
});

test('who is overtaken writes nothing', async () => {
  const { etcd, connect, contents } = fakeEtcd();
  const operator = connect();
  const overtaking = {
    ...etcd,
    get: async (asked: string) => {
      const found = await etcd.get(asked);
      await operator.transact([], [{ put: key, value: '{"spec":{"bgp":{"ipv4Address":"203.0.113.1"}}}' }]);
      return found;
    },
  };
  expect(await registerNode(overtaking, 'h1', () => wanted, now)).toEqual({ outcome: 'overtaken' });
  expect(contents()[key]).toContain('203.0.113.1');
});

test('a Node is not rewritten while that is forbidden; one that is gone is made all the same', async () => {
  const { etcd, contents } = fakeEtcd();
  const register = (ipv4Address: string) =>
    registerNode(
      etcd,
      'h1',
      () => ({ ...wanted, ipv4Address }),
      now,
      () => false,
    );
  expect(await register('192.0.2.1/30')).toEqual({ outcome: 'written' });
  expect(await register('192.0.2.1/30')).toEqual({ outcome: 'right' });
  expect(await register('192.0.2.9/30')).toEqual({ outcome: 'contested' });
  expect(contents()[key]).not.toContain('192.0.2.9');
});

test('what is no Node is left as it is', async () => {
  const { etcd, contents } = fakeEtcd();
  await etcd.transact([], [{ put: key, value: 'not JSON' }]);
  expect(await registerNode(etcd, 'h1', () => wanted, now)).toMatchObject({ outcome: 'refused' });
  expect(contents()[key]).toBe('not JSON');
});

test('etcd away is an error that says so', async () => {
  const { etcd, setDown } = fakeEtcd();
  setDown(true);
  await expect(registerNode(etcd, 'h1', () => wanted, now)).rejects.toMatchObject({ code: 'ETCD_UNAVAILABLE' });
});
