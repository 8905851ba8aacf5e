import { recordingLog, silentLog } from '@calico-openstack/agent';
import { fakeLinks } from '@calico-openstack/kernel/links/fake';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createCore } from './core.ts';
import { type FakeDnsmasq, fakeDnsmasq } from './dnsmasq/fake.ts';
import type { PortFiles } from './dnsmasq/files.ts';
import { createDnsmasqServer } from './dnsmasq/server.ts';
import { createIpv6Server } from './ipv6/ports.ts';
import { bytes, endpointKey, endpointValue, keyOfSubnet, port, subnetValue, type TestPort } from './testing/etcd-values.ts';
import { serviceOptions, subnet } from './testing/facts.ts';

/** Starts an agent's core over a kernel, a Dnsmasq and files, which outlive it. */
function startCore(kernel: ReturnType<typeof fakeLinks>, dnsmasq: FakeDnsmasq, files6: Map<string, string>, log = silentLog()) {
  const written = {
    read: () => files6,
    write: (tap: string, text: string) => void files6.set(tap, text),
    remove: (tap: string) => void files6.delete(tap),
    close: () => undefined,
  };
  const server6 = createIpv6Server(written, () => undefined);
  const servers = [createDnsmasqServer(dnsmasq), server6];
  const core = createCore({ options: { service: serviceOptions }, servers, links: kernel, log });
  dnsmasq.reload();
  const watch = kernel.watch((change) => core.linksChanged([...change.links, ...change.addresses]));
  core.linksChanged([...kernel.links.keys()]);
  const put = (one: TestPort): void => core.etcdChanged('endpoint', { key: endpointKey(one), value: bytes(endpointValue(one)) });
  return {
    ...core,
    core,
    leases6: (tap: string) => server6.ports.get(tap)?.leases,
    put,
    remove: (one: TestPort): void => core.etcdChanged('endpoint', { key: endpointKey(one), value: undefined }),
    putSubnets(dns = '192.0.2.1'): void {
      core.etcdChanged('subnet', {
        key: keyOfSubnet('4'),
        value: bytes(subnetValue('net-a', subnet('10.65.0.0/24', { gatewayIp: '10.65.0.1', dnsServers: [dns] }))),
      });
      core.etcdChanged('subnet', { key: keyOfSubnet('6'), value: bytes(subnetValue('net-a', subnet('2001:db8:a::/64', { gatewayIp: '2001:db8:a::1' }))) });
    },
    /** Runs the core like the agent's loop: again after each rest, until nothing is left to do. */
    settle(nowMs = 0): void {
      for (let turn = 0, atMs = nowMs; turn < 100; turn++) {
        kernel.kernel.deliver();
        const restMs = core.run(atMs);
        if (restMs === undefined) break;
        atMs += restMs;
      }
      kernel.kernel.deliver();
    },
    end: () => watch.close(),
  };
}

function world() {
  const kernel = fakeLinks({ deliverBy: 'hand' });
  const dnsmasq = fakeDnsmasq();
  const files6 = new Map<string, string>();
  return { kernel, dnsmasq, files6, start: (log = silentLog()) => startCore(kernel, dnsmasq, files6, log) };
}

const addressesOn = (kernel: ReturnType<typeof fakeLinks>, tap: string): string[] => kernel.addresses(tap).map(({ address }) => address);

test('a port is served once its endpoint, subnets and tap are known: files for both families, the gateways on its tap', () => {
  const { kernel, dnsmasq, start } = world();
  const agent = start();
  agent.inSync();
  agent.put(port(1));
  agent.putSubnets();
  agent.settle();
  expect(dnsmasq.files.size).toBe(0);
  kernel.kernel.add(port(1).tap, { up: true, mtuBytes: 1442 });
  agent.settle();
  expect(dnsmasq.ask(port(1).tap, port(1).mac)?.addresses).toEqual(['10.65.0.11']);
  expect(agent.leases6(port(1).tap)).toEqual(['2001:db8:a::11']);
  expect(dnsmasq.ask(port(1).tap, port(1).mac)?.options.get('26')).toBe('1442');
  expect(addressesOn(kernel, port(1).tap)).toEqual(['10.65.0.1', '2001:db8:a::1']);
});

test('problems are counted for each network, with the time of the last one, and are forgotten when they end', () => {
  const { kernel, start } = world();
  for (const number of [1, 2]) kernel.kernel.add(port(number).tap, { up: true });
  const agent = start();
  agent.inSync();
  agent.putSubnets();
  agent.put(port(1));
  agent.put({ ...port(2), mac: port(1).mac }); // a younger port with the same MAC is not served
  agent.core.etcdChanged('subnet', { key: keyOfSubnet('broken'), value: bytes('{') });
  const beforeMs = Date.now();
  agent.settle();
  expect([...agent.core.troubles.problems].map(([network, { count }]) => [network, count]).sort()).toEqual([
    ['', 1],
    ['net-a', 1],
  ]);
  for (const { lastMs } of agent.core.troubles.problems.values()) expect(lastMs).toBeGreaterThanOrEqual(beforeMs);
  agent.core.etcdChanged('subnet', { key: keyOfSubnet('broken'), value: undefined });
  agent.remove({ ...port(2), mac: port(1).mac });
  agent.settle();
  expect([...agent.core.troubles.problems]).toEqual([]);
});

test('a deleted port leaves its tap without the host’s addresses', () => {
  const { kernel, dnsmasq, start } = world();
  kernel.kernel.add(port(1).tap, { up: true });
  kernel.kernel.deliver();
  const agent = start();
  agent.inSync();
  agent.putSubnets();
  agent.put(port(1));
  agent.settle();
  agent.remove(port(1));
  agent.settle();
  expect(addressesOn(kernel, port(1).tap)).toEqual(['240.0.0.67']);
  expect(dnsmasq.ask(port(1).tap, port(1).mac)).toBeUndefined();
});

test('until etcd has been read in full, the served ports stay served and nothing is removed', () => {
  const { kernel, dnsmasq, start } = world();
  for (const number of [1, 2]) kernel.kernel.add(port(number).tap, { up: true });
  kernel.kernel.deliver();
  const before = start();
  before.inSync();
  before.putSubnets();
  for (const number of [1, 2]) before.put(port(number));
  before.settle();
  before.end();
  kernel.kernel.remove(kernel.link(port(2).tap)!.index);
  kernel.kernel.deliver();

  const after = start();
  after.put(port(1)); // a part of the snapshot, before the subnets
  after.settle();
  kernel.kernel.add(port(2).tap, { up: true }); // the guest starts again, with a new tap
  after.settle();
  for (const number of [1, 2]) {
    expect(dnsmasq.ask(port(number).tap, port(number).mac)?.addresses).toEqual([`10.65.0.1${number}`]);
    expect(addressesOn(kernel, port(number).tap)).toEqual(['10.65.0.1', '2001:db8:a::1']);
  }
  after.putSubnets();
  after.inSync();
  after.settle();
  expect(dnsmasq.ask(port(1).tap, port(1).mac)?.addresses).toEqual(['10.65.0.11']);
  expect(dnsmasq.files.has(port(2).tap)).toBe(false);
  expect(addressesOn(kernel, port(2).tap)).toEqual(['240.0.0.67']);
});

test('IPv6 addresses that a tap lost by going down are added again', () => {
  const { kernel, start } = world();
  const index = kernel.kernel.add(port(1).tap, { up: true });
  kernel.kernel.deliver();
  const agent = start();
  agent.inSync();
  agent.putSubnets();
  agent.put(port(1));
  agent.settle();
  kernel.kernel.change(index, { up: false });
  kernel.kernel.change(index, { up: true });
  agent.settle();
  expect(addressesOn(kernel, port(1).tap)).toEqual(['10.65.0.1', '2001:db8:a::1']);
});

test('a file that cannot be written affects no other port, is logged once, and is written as soon as possible', () => {
  const { kernel, dnsmasq, files6, start } = world();
  for (const number of [1, 2, 3]) kernel.kernel.add(port(number).tap, { up: true });
  kernel.kernel.deliver();
  const full = new Set([port(1).tap]);
  const { writeFiles, removeFiles } = dnsmasq;
  const refuse = (tap: string): void => {
    if (full.has(tap)) throw new Error(`ENOSPC: ${tap}`);
  };
  dnsmasq.writeFiles = (tap, files) => {
    refuse(tap);
    writeFiles(tap, files);
  };
  dnsmasq.removeFiles = (tap) => {
    refuse(tap);
    removeFiles(tap);
  };
  const agent = start();
  agent.inSync();
  agent.putSubnets();
  for (const number of [1, 2, 3]) agent.put(port(number));
  agent.settle();
  expect([...dnsmasq.files.keys()]).toEqual([port(2).tap, port(3).tap]);
  expect([...files6.keys()]).toEqual([port(2).tap, port(3).tap]);
  full.clear();
  agent.settle();
  expect([dnsmasq.files, files6].map((files) => files.has(port(1).tap))).toEqual([true, true]);
  expect(addressesOn(kernel, port(1).tap)).toEqual(['10.65.0.1', '2001:db8:a::1']);

  full.add(port(2).tap);
  for (const number of [2, 3]) agent.remove(port(number));
  agent.settle();
  expect([...dnsmasq.files.keys()]).toEqual([port(2).tap, port(1).tap]);
  full.clear();
  agent.settle();
  expect([...dnsmasq.files.keys()]).toEqual([port(1).tap]);
});

test('an address that the kernel refuses is retried at growing pauses, is logged once, and affects no other tap', () => {
  const { kernel, dnsmasq, start } = world();
  for (const number of [1, 2]) kernel.kernel.add(port(number).tap, { up: true });
  kernel.kernel.deliver();
  const { addAddress } = kernel;
  let refuse = true;
  let tries = 0;
  kernel.addAddress = (tap, address, ...rest) => {
    if (tap !== port(1).tap || address !== '10.65.0.1') return addAddress(tap, address, ...rest);
    tries += 1;
    return refuse ? { code: 'ENOBUFS' } : addAddress(tap, address, ...rest);
  };
  const { log, entries } = recordingLog();
  const agent = start(log);
  agent.inSync();
  agent.putSubnets();
  for (const number of [1, 2]) agent.put(port(number));
  const restsMs = Array.from({ length: 7 }, (_, index) => agent.run(index));
  expect(restsMs).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  expect(tries).toBe(7);
  kernel.kernel.deliver();
  expect(addressesOn(kernel, port(2).tap)).toEqual(['10.65.0.1', '2001:db8:a::1']);
  expect(dnsmasq.ask(port(1).tap, port(1).mac)?.addresses).toEqual(['10.65.0.11']);
  const said = (msg: string) => entries.flatMap(({ message, fields }) => (message.startsWith(msg) ? [fields] : []));
  expect(said('the disk or the kernel refuses the files or addresses of a port')).toMatchObject([
    { tap: port(1).tap, what: 'addresses', reason: expect.stringContaining('ENOBUFS') },
  ]);
  refuse = false;
  expect(agent.run(100_000)).toBeUndefined();
  kernel.kernel.deliver();
  expect(addressesOn(kernel, port(1).tap)).toContain('10.65.0.1');
  expect(said('the files or addresses of a port are no longer refused')).toHaveLength(1);
  refuse = true;
  kernel.removeAddress(port(1).tap, '10.65.0.1', 32);
  kernel.kernel.deliver();
  expect(agent.run(200_000)).toBe(1000); // the growing pauses start from the shortest again
});

test('an address that the kernel refuses is retried before etcd has been read, too', () => {
  const { kernel, start } = world();
  kernel.kernel.add(port(1).tap, { up: true });
  kernel.kernel.deliver();
  const before = start();
  before.inSync();
  before.putSubnets();
  before.put(port(1));
  before.settle();
  before.end();
  for (const { address, prefixLength } of kernel.addresses(port(1).tap)) kernel.removeAddress(port(1).tap, address, prefixLength);
  kernel.kernel.deliver();
  const { addAddress } = kernel;
  kernel.addAddress = () => ({ code: 'ENOBUFS' });
  const agent = start();
  expect([agent.run(0), agent.run(1000)]).toEqual([1000, 2000]);
  kernel.addAddress = addAddress;
  expect(agent.run(3000)).toBeUndefined();
  kernel.kernel.deliver();
  expect(addressesOn(kernel, port(1).tap)).toHaveLength(2);
});

test('a problem with a port or subnet is logged when it begins, changes and ends', () => {
  const { kernel, start } = world();
  kernel.kernel.add(port(1).tap, { up: true });
  kernel.kernel.deliver();
  const { log, entries } = recordingLog();
  const agent = start(log);
  agent.putSubnets();
  agent.inSync();
  const key = endpointKey(port(1));
  const value = (text: string) => agent.etcdChanged('endpoint', { key, value: Buffer.from(text) });
  value('torn');
  for (let turn = 0; turn < 3; turn += 1) agent.run(turn);
  value('{}');
  for (let turn = 0; turn < 3; turn += 1) agent.run(turn);
  agent.put(port(1));
  for (let turn = 0; turn < 3; turn += 1) agent.run(turn);
  const said = entries.flatMap(({ message }) => /^(a port or subnet is not served|the problems with a port or subnet are over)/.exec(message)?.[0] ?? []);
  expect(said).toEqual(['a port or subnet is not served', 'a port or subnet is not served', 'the problems with a port or subnet are over']);
});

const small = fc.integer({ min: 1, max: 3 });
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('put' as const), port: small, host: small, age: small }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('remove' as const), port: small }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('tap' as const), port: small, there: fc.boolean(), mtuBytes: fc.constantFrom(1400, 1500) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('subnets' as const), dns: fc.constantFrom('192.0.2.1', '192.0.2.2') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('start again' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('settle' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('ask' as const), port: small }) },
);

test('single changes, with restarts between them, lead to the same as a fresh start: files, answers, addresses on taps', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const { kernel, dnsmasq, files6, start } = world();
      const ports = new Map<number, TestPort>();
      let dns = '192.0.2.1';
      let nowMs = 0;
      let agent = start();
      agent.putSubnets(dns);
      agent.inSync();
      const startAgain = (): void => {
        agent.end();
        agent = start();
        agent.putSubnets(dns);
        for (const one of ports.values()) agent.put(one);
        agent.inSync();
      };
      for (const now of steps) {
        nowMs += 50;
        switch (now.do) {
          case 'put': {
            const one = port(now.port, { addresses: [`10.65.0.1${now.host}`, `2001:db8:a::1${now.host}`], createdAt: `2026-01-0${now.age}T00:00:00Z` });
            ports.set(now.port, one);
            agent.put(one);
            break;
          }
          case 'remove':
            ports.delete(now.port);
            agent.remove(port(now.port));
            break;
          case 'tap': {
            const link = kernel.link(port(now.port).tap);
            if (link) kernel.kernel.remove(link.index);
            if (now.there) kernel.kernel.add(port(now.port).tap, { up: true, mtuBytes: now.mtuBytes });
            kernel.kernel.deliver();
            break;
          }
          case 'subnets':
            dns = now.dns;
            agent.putSubnets(dns);
            break;
          case 'start again':
            startAgain();
            break;
          case 'settle':
            agent.settle(nowMs);
            break;
          case 'ask':
            dnsmasq.ask(port(now.port).tap, port(now.port).mac);
            break;
        }
      }
      agent.settle(nowMs);
      startAgain(); // files of ports without a tap are kept while the agent runs, and removed when the next one has read etcd
      agent.settle(nowMs);

      const fresh = world();
      for (const link of kernel.links.values()) if (link.name !== 'lo') fresh.kernel.kernel.add(link.name, { up: true, mtuBytes: link.mtuBytes });
      fresh.kernel.kernel.deliver();
      const other = fresh.start();
      other.putSubnets(dns);
      for (const one of ports.values()) other.put(one);
      other.inSync();
      other.settle();

      const bare = (files: ReadonlyMap<string, PortFiles>) =>
        new Map([...files].map(([tap, { host, options }]) => [tap, { host: host.replace(/,fa:16:3e:[0-9a-f:]{8}(?=,)/g, ''), options }]));
      expect(bare(dnsmasq.files)).toEqual(bare(fresh.dnsmasq.files));
      expect(new Map([...files6].sort())).toEqual(new Map([...fresh.files6].sort()));
      for (const number of [1, 2, 3]) {
        const { tap, mac } = port(number);
        const keepsRoutes = (address: string): boolean => address === '240.0.0.67'; // the tap was served before, so it may carry the address that keeps its routes
        expect(addressesOn(kernel, tap).filter((address) => !keepsRoutes(address))).toEqual(addressesOn(fresh.kernel, tap));
        expect(dnsmasq.ask(tap, mac)).toEqual(fresh.dnsmasq.ask(tap, mac));
      }
    }),
    { numRuns: 300 },
  );
});
