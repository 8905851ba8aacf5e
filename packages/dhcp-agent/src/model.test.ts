import { cidrContains } from '@calico-openstack/addresses';
import type { Reservations } from '@calico-openstack/datamodel';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createModel, type Model } from './model.ts';
import type { PortService } from './service/service.ts';
import { bytes, port as dualStackPort, endpointKey, endpointValue, keyOfSubnet, subnetValue, type TestPort } from './testing/etcd-values.ts';
import { cidr, serviceOptions, subnet } from './testing/facts.ts';

const subnetA = subnet('10.65.0.0/24', { gatewayIp: '10.65.0.1' });

const port = (number: number, some: Partial<TestPort> = {}): TestPort => dualStackPort(number, { addresses: [`10.65.0.1${number}`], ...some });

function put(model: Model, one: TestPort): void {
  model.setEndpoint(endpointKey(one), bytes(endpointValue(one)));
}
const remove = (model: Model, one: TestPort): void => model.setEndpoint(endpointKey(one), undefined);
const putSubnet = (model: Model, id: string, networkId = 'net-a', what = subnetA): void =>
  model.setSubnet(keyOfSubnet(id), bytes(subnetValue(networkId, what)));

/** A model that has taken in these ports and taps, and the changes that it reports from then on. */
function modelWith(ports: readonly TestPort[], { taps = ports.map(({ tap }) => tap) } = {}) {
  const model = createModel(serviceOptions);
  const services = new Map<string, PortService | undefined>();
  const look = (): string[] => {
    const changed = model.takeChanged();
    for (const [tap, service] of changed) services.set(tap, service);
    return [...changed.keys()].sort();
  };
  putSubnet(model, 's');
  for (const one of ports) put(model, one);
  for (const tap of taps) model.setTap(tap, 1500);
  look();
  return { model, look, addressOf: (one: TestPort) => services.get(one.tap)?.ipv4?.leases[0], macOf: (one: TestPort) => services.get(one.tap)?.mac };
}

test('a port is served once its endpoint, its subnet and its tap exist, in whatever order they come', () => {
  const [one] = [port(1)];
  const steps = [(model: Model) => put(model, one), (model: Model) => putSubnet(model, 's'), (model: Model) => model.setTap(one.tap, 1442)];
  for (const order of [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
  ]) {
    const model = createModel(serviceOptions);
    const served: boolean[] = [];
    for (const index of order) {
      steps[index]!(model);
      served.push([...model.takeChanged().values()].some((service) => service !== undefined));
    }
    expect(served).toEqual([false, false, true]);
  }
});

test('allowed address pairs are not handed out', () => {
  const { addressOf } = modelWith([port(1, { addresses: ['10.65.0.200', '10.65.0.11'], allowedIps: ['10.65.0.200'] })]);
  expect(addressOf(port(1))).toBe('10.65.0.11');
});

test('a subnet of another network does not count, even with the same prefix', () => {
  const { model, look, addressOf } = modelWith([port(1, { networkId: 'net-b' })]);
  expect(addressOf(port(1))).toBeUndefined();
  putSubnet(model, 't', 'net-b');
  look();
  expect(addressOf(port(1))).toBe('10.65.0.11');
});

describe('a subnet with something that cannot be read', () => {
  const value = bytes(
    JSON.stringify({ network_id: 'net-a', cidr: '10.65.0.0/24', gateway_ip: '10.65.0.1', host_routes: [], dns_servers: ['10.1.1.1', 'junk'] }),
  );

  test('is served without it, and it is named for as long as the network has a port here', () => {
    const { model, look, addressOf } = modelWith([port(1)]);
    model.setSubnet(keyOfSubnet('s'), value);
    look();
    expect(addressOf(port(1))).toBe('10.65.0.11');
    expect([...model.problems]).toEqual([[keyOfSubnet('s'), ['the subnet 10.65.0.0/24 is served without what cannot be read: dns_servers holds "junk"']]]);
    remove(model, port(1));
    look();
    expect(model.problems.size).toBe(0);
  });

  test('is nobody’s concern where its network has no port', () => {
    const { model, look } = modelWith([port(1, { networkId: 'net-b' })]);
    model.setSubnet(keyOfSubnet('s'), value);
    look();
    expect(model.problems.size).toBe(0);
  });
});

test('a port whose addresses are all allowed address pairs is not served, and that is said', () => {
  const { model, addressOf } = modelWith([port(1, { addresses: ['10.65.0.11'], allowedIps: ['10.65.0.11'] })]);
  expect(addressOf(port(1))).toBeUndefined();
  expect(model.problems.get(endpointKey(port(1)))).toEqual(['no address of the port is handed out: it has no fixed address, only allowed address pairs']);
});

test('an address that is fixed, and an allowed address pair as well, is handed out', () => {
  const { model, addressOf } = modelWith([port(1, { addresses: ['10.65.0.11', '10.65.0.11'], allowedIps: ['10.65.0.11'] })]);
  expect(addressOf(port(1))).toBe('10.65.0.11');
  expect(model.problems.size).toBe(0);
});

test('a change of a subnet affects only its network’s ports', () => {
  const { model, look } = modelWith([port(1), port(2, { networkId: 'net-b', addresses: ['10.66.0.12'] }), port(3)]);
  putSubnet(model, 's', 'net-a', subnet('10.65.0.0/24', { gatewayIp: '10.65.0.1', dnsServers: ['10.1.1.1'] }));
  expect(look()).toEqual([port(1).tap, port(3).tap]);
});

test('a port’s change affects only that port', () => {
  const { model, look } = modelWith([port(1), port(2), port(3)]);
  put(model, port(2, { fqdn: 'vm-2.example.' }));
  expect(look()).toEqual([port(2).tap]);
});

test('a deleted tap leaves its port as it was, for when the tap comes back', () => {
  const { model, look, addressOf } = modelWith([port(1)]);
  model.setTap(port(1).tap, undefined);
  put(model, port(1, { fqdn: 'vm-1.example.' }));
  look();
  expect(addressOf(port(1))).toBe('10.65.0.11');
});

describe('of two ports', () => {
  const older = port(1, { createdAt: '2026-01-01T00:00:00Z' });
  test.each([
    { what: 'MAC', newer: port(2, { createdAt: '2026-01-02T00:00:00Z', mac: older.mac }) },
    { what: 'MAC, in another network', newer: port(2, { createdAt: '2026-01-02T00:00:00Z', mac: older.mac, networkId: 'net-b' }) },
    { what: 'address', newer: port(2, { createdAt: '2026-01-02T00:00:00Z', addresses: older.addresses }) },
  ])('with one $what the older is served as before, the newer is not, and that is said', ({ newer }) => {
    for (const ports of [
      [older, newer],
      [newer, older],
    ]) {
      const { model, look, addressOf } = modelWith(ports);
      expect([addressOf(older), addressOf(newer)]).toEqual(['10.65.0.11', undefined]);
      expect(model.problems.get(endpointKey(newer))?.[0]).toContain(endpointKey(older));
      expect(model.problems.has(endpointKey(older))).toBe(false);
      remove(model, older);
      putSubnet(model, 't', 'net-b');
      look();
      expect(addressOf(newer)).toBeDefined();
      expect(model.problems.size).toBe(0);
    }
  });

  test('with one address among several the newer is served with the others', () => {
    const newer = port(2, { createdAt: '2026-01-02T00:00:00Z', addresses: [...older.addresses, '10.65.0.12'] });
    for (const ports of [
      [older, newer],
      [newer, older],
    ]) {
      const { model, look, addressOf } = modelWith(ports);
      expect([addressOf(older), addressOf(newer)]).toEqual(['10.65.0.11', '10.65.0.12']);
      expect(model.problems.get(endpointKey(newer))).toEqual([`10.65.0.11 is not handed out: ${endpointKey(older)}, which is older, has it`]);
      remove(model, older);
      look();
      expect(addressOf(newer)).toBe('10.65.0.11');
      expect(model.problems.size).toBe(0);
    }
  });

  test('with one allowed address pair, as in a VRRP group, both are served; and no pair takes what another port has', () => {
    const members = [1, 2].map((number) => port(number, { addresses: [`10.65.0.1${number}`, '10.65.0.200'], allowedIps: ['10.65.0.200'] }));
    const greedy = port(3, { createdAt: '2025-01-01T00:00:00Z', addresses: ['10.65.0.13', '10.65.0.11'], allowedIps: ['10.65.0.11'] });
    const { model, addressOf } = modelWith([...members, greedy]);
    expect([...members, greedy].map(addressOf)).toEqual(['10.65.0.11', '10.65.0.12', '10.65.0.13']);
    expect(model.problems.size).toBe(0);
  });

  test.each([
    { what: 'made later', again: { createdAt: '2026-01-02T00:00:00Z' } },
    { what: 'that does not say when it was made', again: { createdAt: '' } },
  ])('on one tap the older is served as before, and one $what is not', ({ again: some }) => {
    const again = { ...older, device: 'other', addresses: ['10.65.0.15'], ...some };
    for (const ports of [
      [older, again],
      [again, older],
    ]) {
      const { model, look, addressOf } = modelWith(ports);
      expect(addressOf(older)).toBe('10.65.0.11');
      expect(model.problems.get(endpointKey(again))?.[0]).toContain('which is older, has its tap');
      remove(model, older);
      look();
      expect(addressOf(older)).toBe('10.65.0.15');
      expect(model.problems.size).toBe(0);
    }
  });

  test('the one that does not get its tap takes no MAC or address from a third port', () => {
    const first = { ...older, device: 'other', createdAt: '2025-01-03T00:00:00Z', mac: 'fa:16:3e:00:00:09', addresses: ['10.65.0.19'] };
    const third = port(3, { createdAt: '2026-01-02T00:00:00Z', mac: older.mac, addresses: older.addresses });
    const { addressOf, macOf } = modelWith([older, first, third]);
    expect([macOf(older), macOf(third)]).toEqual([first.mac, older.mac]);
    expect(addressOf(third)).toBe('10.65.0.11');
  });
});

test('a port that has its gateway’s address makes the host leave that address alone', () => {
  const { model, look } = modelWith([port(1)]);
  const guestAsGateway = port(2, { addresses: ['10.65.0.1'] });
  put(model, guestAsGateway);
  expect(look()).toContain(port(1).tap);
  put(model, port(1, { fqdn: 'again.example' }));
  expect(model.takeChanged().get(port(1).tap)?.ipv4?.serverAddresses).toEqual([{ address: '10.65.0.0', prefixLength: 32 }]);
  remove(model, guestAsGateway);
  expect(model.takeChanged().get(port(1).tap)?.ipv4?.serverAddresses).toEqual([{ address: '10.65.0.1', prefixLength: 32 }]);
});

test('a gateway that a port names as an allowed address pair stays the host’s: no guest takes the server from its neighbours', () => {
  const { model, look } = modelWith([port(1)]);
  put(model, port(2, { addresses: ['10.65.0.12', '10.65.0.1'], allowedIps: ['10.65.0.1'] }));
  expect(look()).toEqual([port(2).tap]);
  put(model, port(1, { fqdn: 'again.example' }));
  expect(model.takeChanged().get(port(1).tap)?.ipv4?.serverAddresses[0]?.address).toBe('10.65.0.1');
});

test('a reserved address is neither handed out nor taken as a gateway while it is reserved; the other addresses are', () => {
  const { model, look, addressOf } = modelWith([port(1), port(2, { addresses: ['10.65.0.12', '10.65.0.22'] })]);
  const reserve = (...prefixes: string[]): boolean =>
    model.setReserved('etcd', new Map(prefixes.map((prefix) => [cidr(prefix), { whose: 'an etcd endpoint' }])));
  expect(reserve('192.0.2.1/32')).toBe(true);
  expect(look()).toEqual([]);
  expect(reserve('10.65.0.12/32')).toBe(true);
  expect(look()).toEqual([port(2).tap]);
  expect([addressOf(port(1)), addressOf(port(2))]).toEqual(['10.65.0.11', '10.65.0.22']);
  expect(model.problems.get(endpointKey(port(2)))).toEqual(['10.65.0.12 is not handed out: it is an etcd endpoint']);
  expect(reserve('10.65.0.12/32')).toBe(false);
  reserve('10.65.0.0/28');
  expect(look()).toEqual([port(1).tap, port(2).tap]);
  expect([addressOf(port(1)), addressOf(port(2))]).toEqual([undefined, undefined]);
  expect(model.problems.get(endpointKey(port(1)))).toEqual(['10.65.0.11 is not handed out: it lies in 10.65.0.0/28, an etcd endpoint']);
  reserve();
  expect(look()).toEqual([port(1).tap, port(2).tap]);
  expect([addressOf(port(1)), addressOf(port(2))]).toEqual(['10.65.0.11', '10.65.0.12']);
  expect(model.problems.size).toBe(0);
});

test('addresses that no host can have are not handed out', () => {
  const { addressOf } = modelWith([port(1, { addresses: ['127.0.0.1', '224.0.0.1', '255.255.255.255', '169.254.169.254', '10.65.0.11'] })]);
  expect(addressOf(port(1))).toBe('10.65.0.11');
});

test.each([
  { what: 'JSON', value: '{', says: 'is not JSON' },
  { what: 'a tap', value: endpointValue(port(1, { tap: 'eth0' })), says: 'not a tap' },
  { what: 'a tap that Dnsmasq could read otherwise', value: endpointValue(port(1, { tap: 'tap,x' })), says: 'not a tap' },
  { what: 'a tap that Dnsmasq passes over', value: endpointValue(port(1, { tap: 'tap1~' })), says: 'not a tap' },
  { what: 'one interface’s MAC', value: endpointValue(port(1, { mac: '01:00:5e:00:00:01' })), says: 'MAC' },
  { what: 'a network', value: endpointValue(port(1)).replace('network-id', 'other'), says: 'network' },
])('an endpoint without $what is not served, and the problem is reported', ({ value, says }) => {
  const { model, look, addressOf } = modelWith([port(1)]);
  model.setEndpoint(endpointKey(port(1)), bytes(value));
  look();
  expect(addressOf(port(1))).toBeUndefined();
  expect(model.problems.get(endpointKey(port(1)))?.[0]).toContain(says);
  put(model, port(1));
  look();
  expect(addressOf(port(1))).toBe('10.65.0.11');
  expect(model.problems.size).toBe(0);
});

test('a subnet that does not decode serves nobody, and the problem is reported', () => {
  const { model, look, addressOf } = modelWith([port(1)]);
  model.setSubnet(keyOfSubnet('s'), bytes('{"network_id":"net-a","cidr":"x"}'));
  look();
  expect(addressOf(port(1))).toBeUndefined();
  expect(model.problems.get(keyOfSubnet('s'))?.[0]).toContain('cidr');
});

const small = fc.integer({ min: 1, max: 3 });
const anyPort = fc
  .record({
    id: small,
    tap: small,
    mac: small,
    host: small,
    network: fc.constantFrom('net-a', 'net-b'),
    age: small,
    device: fc.constantFrom('vm', 'other'),
    spoilt: fc.boolean(),
  })
  .map(({ id, tap, mac, host, network, age, device, spoilt }) => ({
    ...port(id, {
      tap: `tap0000000${tap}-aa`,
      mac: `fa:16:3e:00:00:0${mac}`,
      addresses: [`10.65.0.${host}`],
      networkId: network,
      createdAt: `2026-01-0${age}T00:00:00Z`,
      device,
    }),
    spoilt,
  }));
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('put' as const), port: anyPort }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('remove' as const), port: anyPort }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('subnet' as const), id: small, network: fc.constantFrom('net-a', 'net-b'), there: fc.boolean(), gateway: small }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('tap' as const), tap: small, mtu: fc.constantFrom(1400, 1500) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('reserve' as const), prefix: fc.constantFrom('10.65.0.1/32', '10.65.0.2/32', '10.65.0.0/31', undefined) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('look' as const) }) },
);

test('single changes lead to the same as a fresh start, and taps that are not returned as changed have not changed', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const model = createModel(serviceOptions);
      const endpoints = new Map<string, Uint8Array>();
      const subnets = new Map<string, Uint8Array>();
      const taps = new Map<string, number>();
      let reservations: Reservations = new Map();
      const told = new Map<string, PortService | undefined>();
      const look = (): void => {
        for (const [tap, service] of model.takeChanged()) told.set(tap, service);
      };
      for (const now of steps) {
        switch (now.do) {
          case 'put': {
            const value = bytes(now.port.spoilt ? '{' : endpointValue(now.port));
            endpoints.set(endpointKey(now.port), value);
            model.setEndpoint(endpointKey(now.port), value);
            break;
          }
          case 'remove':
            endpoints.delete(endpointKey(now.port));
            remove(model, now.port);
            break;
          case 'subnet': {
            const key = keyOfSubnet(`s${now.id}`);
            const value = now.there ? bytes(subnetValue(now.network, subnet('10.65.0.0/24', { gatewayIp: `10.65.0.${now.gateway}` }))) : undefined;
            if (value) subnets.set(key, value);
            else subnets.delete(key);
            model.setSubnet(key, value);
            break;
          }
          case 'tap':
            taps.set(`tap0000000${now.tap}-aa`, now.mtu);
            model.setTap(`tap0000000${now.tap}-aa`, now.mtu);
            break;
          case 'reserve':
            reservations = new Map(now.prefix === undefined ? [] : [[cidr(now.prefix), { whose: 'an etcd endpoint' }]]);
            model.setReserved('etcd', reservations);
            break;
          case 'look':
            look();
            break;
        }
      }
      look();
      const fresh = createModel(serviceOptions);
      fresh.setReserved('etcd', reservations);
      for (const [key, value] of subnets) fresh.setSubnet(key, value);
      for (const [tap, mtu] of taps) fresh.setTap(tap, mtu);
      for (const [key, value] of endpoints) fresh.setEndpoint(key, value);
      const served = (services: Iterable<readonly [string, PortService | undefined]>) =>
        new Map([...services].filter(([, service]) => service !== undefined).sort(([a], [b]) => (a < b ? -1 : 1)));
      expect(served(told)).toEqual(served(fresh.takeChanged()));
      expect(new Map(model.problems)).toEqual(new Map(fresh.problems));
      const owned = [...served(told).values()].flatMap((service) => [service!.mac, ...(service!.ipv4?.leases ?? [])]);
      expect(new Set(owned).size).toBe(owned.length);
      const used = [...served(told).values()].flatMap((service) => [...service!.ipv4!.leases, ...service!.ipv4!.serverAddresses.map(({ address }) => address)]);
      for (const address of used) expect([...reservations.keys()].some((prefix) => cidrContains(prefix, address))).toBe(false);
    }),
    { numRuns: 500 },
  );
});
