import type { HostEndpointId, LocalHostEndpoint } from '@calico-openstack/datamodel';
import type { Link, LinkAddress } from '@calico-openstack/kernel';
import { describe, expect, test } from 'vitest';
import { HostInterfaces } from './host-endpoints.ts';

/** A host whose interfaces and addresses a test changes. */
function setUp() {
  const addresses = new Map<string, string[]>([
    ['lo', ['127.0.0.1']],
    ['eth0', ['192.0.2.1']],
    ['eth1', []],
    ['tap1', ['192.0.2.9']],
  ]);
  const links = new Map<string, Link>([...addresses.keys()].map((name) => [name, { name, running: true } as Link]));
  const interfaces = new HostInterfaces(
    { links, link: (name) => links.get(name), addresses: (name) => (addresses.get(name) ?? []).map((address) => ({ address }) as LinkAddress) },
    (name) => name.startsWith('tap'),
  );
  return {
    addresses,
    links,
    interfaces,
    /** Takes these host endpoints: the interface's name, or addresses; undefined for one that is gone. */
    take(changes: Record<string, string | readonly string[] | undefined>, nowMs = 0): Record<string, string | undefined> {
      const taken = new Map(
        Object.entries(changes).map(([name, where]) => {
          const id = name as HostEndpointId;
          const endpoint = where && ({ id, ...(typeof where === 'string' ? { interfaceName: where, expectedIps: [] } : { expectedIps: where }) } as unknown);
          return [id, endpoint as LocalHostEndpoint | undefined] as const;
        }),
      );
      return Object.fromEntries([...interfaces.take(taken, nowMs)].map(([name, endpoint]) => [name, endpoint?.id]));
    },
    statuses: () => Object.fromEntries([...interfaces.takeStatuses()].map(([id, told]) => [id, told && [told.status, told.reason].filter(Boolean).join(': ')])),
  };
}

describe('an interface is governed', () => {
  test('by the host endpoint that names it, which is up while it runs', () => {
    const { take, statuses, links, interfaces } = setUp();
    expect([take({ a: 'eth0' }), statuses()]).toEqual([{ eth0: 'a' }, { a: 'up' }]);
    links.set('eth0', { ...links.get('eth0')!, running: false });
    interfaces.linksChanged(['eth0']);
    expect([take({}), statuses()]).toEqual([{}, { a: 'down' }]);
    expect([take({ a: undefined }), statuses()]).toEqual([{ eth0: undefined }, { a: undefined }]);
  });
  test('by name before it exists', () => {
    const { take, statuses, links, interfaces } = setUp();
    expect([take({ a: 'bond0' }), statuses()]).toEqual([{ bond0: 'a' }, { a: 'error: there is no interface bond0' }]);
    links.set('bond0', { name: 'bond0', running: true } as Link);
    interfaces.linksChanged(['bond0']);
    expect([take({}), statuses()]).toEqual([{}, { a: 'up' }]);
  });
  test('by the first by name of several; the next follows when that goes', () => {
    const { take, statuses } = setUp();
    expect([take({ b: 'eth0', c: ['192.0.2.1'] }), statuses()]).toEqual([{ eth0: 'b' }, { b: 'up', c: 'error: the host endpoint b governs eth0' }]);
    expect([take({ a: ['192.0.2.1', '192.0.2.2'] }), statuses()]).toEqual([
      { eth0: 'a' },
      { a: 'up', b: 'error: the host endpoint a governs eth0', c: 'error: the host endpoint a governs eth0' },
    ]);
    expect([take({ a: undefined }), statuses()]).toMatchObject([{ eth0: 'b' }, { b: 'up' }]);
  });
  test('by addresses wherever they are, of several interfaces at once', () => {
    const { take, statuses, addresses, interfaces } = setUp();
    expect([take({ a: ['198.51.100.1'] }), statuses()]).toEqual([{}, { a: "error: no interface of the host's own has 198.51.100.1" }]);
    for (const name of ['eth0', 'eth1']) addresses.get(name)!.push('198.51.100.1');
    interfaces.linksChanged(['eth1']);
    expect([take({}), statuses()]).toEqual([{ eth0: 'a', eth1: 'a' }, { a: 'up' }]);
  });
  test('never when it is loopback or a workload’s', () => {
    const { take, statuses } = setUp();
    expect(take({ a: 'lo', b: 'tap1', c: ['192.0.2.9'] })).toEqual({});
    expect(statuses()).toEqual({
      a: 'error: loopback is never policed',
      b: "error: tap1 is no interface of the host's own: workload endpoints' policies govern it",
      c: "error: no interface of the host's own has 192.0.2.9",
    });
  });
  test('by the first for every interface when it has none of its own', () => {
    const { take, statuses } = setUp();
    expect([take({ y: '*', x: '*' }), statuses()]).toEqual([{ '*': 'x' }, { x: 'up', y: 'error: the host endpoint x is for every interface' }]);
  });
});

test('an interface that loses the expected address stays governed for a second, unless another takes over', () => {
  const { take, statuses, addresses, interfaces } = setUp();
  take({ a: ['192.0.2.1'] }, 0);
  addresses.set('eth0', []);
  interfaces.linksChanged(['eth0']);
  expect([take({}, 100), interfaces.restMs(100)]).toEqual([{}, 1000]);
  expect([take({}, 1099), interfaces.restMs(1099)]).toEqual([{}, 1]);
  expect([take({}, 1100), interfaces.restMs(1100), statuses()]).toMatchObject([{ eth0: undefined }, undefined, {}]);
  addresses.set('eth0', ['192.0.2.1']);
  interfaces.linksChanged(['eth0']);
  expect(take({}, 1200)).toEqual({ eth0: 'a' });
  addresses.set('eth0', []);
  interfaces.linksChanged(['eth0']);
  expect(take({}, 1300)).toEqual({});
  addresses.set('eth0', ['192.0.2.1']);
  interfaces.linksChanged(['eth0']);
  expect([take({}, 1400), interfaces.restMs(1400)]).toEqual([{}, undefined]);
  addresses.set('eth0', []);
  expect(take({ b: 'eth0' }, 1500)).toEqual({ eth0: 'b' });
});

test('links of workloads cost nothing, nor do links while there is no host endpoint', () => {
  const { take, addresses, interfaces } = setUp();
  interfaces.linksChanged(['eth0']);
  take({ a: ['192.0.2.1'] });
  addresses.set('eth1', ['192.0.2.1']);
  interfaces.linksChanged(['tap1']);
  expect(take({})).toEqual({});
  interfaces.linksChanged();
  expect(take({})).toEqual({ eth1: 'a' });
});
