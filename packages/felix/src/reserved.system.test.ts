// Addresses that no workload may have, on a real kernel: they are not routed to an endpoint that has them in etcd, and the rest of the endpoint works.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addressBytes, type IpAddress } from '@calico-openstack/addresses';
import { addressPairMacsAnnotation } from '@calico-openstack/datamodel';
import { frame } from '@calico-openstack/kernel/testing/frames';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Plugged, run, TestHost } from './testing/host.ts';
import { endpointNumber, felixConfiguration, resource, securityGroup, type TestEndpoint, tapOf, workloadEndpoint } from './testing/resources.ts';

const udp = (destinationPort: number) => ({ protocol: 17, destinationPort });
const open = securityGroup('open', [
  { action: 'Allow', ipVersion: 4 },
  { action: 'Allow', ipVersion: 6 },
]);
const router = { 4: '172.16.9.1', 6: 'fd00:16:9::1' } as const;
const own = { 4: '172.16.9.2', 6: 'fd00:16:9::2' } as const;

let host: TestHost;
let routerName: string;
let folder: string;
let birdFile: string;
let [one, two]: [Plugged, Plugged] = [] as never;

const prefixed = (address: string): string => `${address}/${address.includes(':') ? 128 : 32}`;

/** The endpoint with more addresses, as address pairs. */
const withPairs = (endpoint: TestEndpoint, ...pairs: string[]) =>
  workloadEndpoint({ ...endpoint, spec: { ipNetworks: [...endpoint.addresses, ...pairs].map(prefixed), allowedIps: pairs.map(prefixed) } });

/** The interface by which the host sends packets to an address. */
async function leadsTo(address: string): Promise<string | undefined> {
  const found = await host.exec('ip', '-j', address.includes(':') ? '-6' : '-4', 'route', 'get', address).catch(() => '[{}]');
  return (JSON.parse(found) as { dev?: string }[])[0]?.dev;
}
const untilStatus = (endpoint: TestEndpoint, status: string): Promise<void> =>
  host.until(async () => (await host.statusOf(endpoint)) === `{"status":"${status}"}`, `status ${status}`);

async function pings(address: string): Promise<boolean> {
  return host.exec('ping', '-c', '1', '-W', '5', address).then(
    () => true,
    () => false,
  );
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'reserved-'));
  birdFile = join(folder, 'bird.conf');
  host = await TestHost.open();
  routerName = `${host.name}r`;
  await run('ip', ['netns', 'add', routerName]);
  await run('ip', ['-n', host.name, 'link', 'add', 'fabric', 'type', 'veth', 'peer', 'name', 'rt', 'netns', routerName]);
  for (const [namespace, device, addresses] of [
    [host.name, 'fabric', [`${own[4]}/30`, `${own[6]}/64`]],
    [routerName, 'rt', [`${router[4]}/30`, `${router[6]}/64`, '203.0.113.1/24']],
  ] as const) {
    for (const address of addresses) await run('ip', ['-n', namespace, 'address', 'add', address, 'dev', device, ...(address.includes(':') ? ['nodad'] : [])]);
    await run('ip', ['-n', namespace, 'link', 'set', device, 'up']);
  }
  await host.exec('ip', 'route', 'add', 'default', 'via', router[4]);
  await host.exec('ip', '-6', 'route', 'add', 'default', 'via', router[6]);
  one = await host.plug(endpointNumber(1));
  two = await host.plug(endpointNumber(2));
  await host.put(felixConfiguration({ workloadSourceSpoofing: 'Any' }), open, workloadEndpoint(one), workloadEndpoint(two));
  host.startAgent(undefined, { FELIX_BIRDCONFIGFILE: birdFile });
  await host.untilProgrammed();
  await host.untilPasses(one, two, udp(7000));
});
afterEach(async () => {
  await host.close();
  await run('ip', ['netns', 'delete', routerName]);
  rmSync(folder, { recursive: true, force: true });
});

describe('an address pair', () => {
  test('that is the host’s next hop, its own address or another impossible one leads nowhere; the endpoint says so, and its other addresses work', async () => {
    const impossible = ['127.0.0.1', '0.0.0.0', '255.255.255.255', '224.0.0.5', '240.0.0.1', '169.254.169.254', 'fe80::1', '::1', 'ff02::1'];
    const before = await Promise.all([...impossible, ...Object.values(router), ...Object.values(own)].map(leadsTo));
    for (const address of [router[4], router[6], own[4], own[6]]) {
      await host.put(withPairs(one, address));
      await untilStatus(one, 'error');
      await host.untilSaid(`${address} is `);
      expect(await leadsTo(address)).not.toBe(tapOf(one));
      for (const family of [4, 6] as const) expect(await host.passes(two, one, udp(7000), family)).toBe(true);
      await host.put(workloadEndpoint(one));
      await untilStatus(one, 'up');
    }
    await host.put(withPairs(one, ...impossible));
    await untilStatus(one, 'error');
    expect(await Promise.all([...impossible, ...Object.values(router), ...Object.values(own)].map(leadsTo))).toEqual(before);
    expect(await host.exec('nft', 'list', 'set', 'inet', 'calico-felix', 'workload-addresses4')).not.toContain('127.0.0.1');
    expect([await pings(router[4]), await pings('203.0.113.1')]).toEqual([true, true]);
    for (const family of [4, 6] as const) expect(await host.passes(one, two, { ...udp(7000), source: own[family] }, family)).toBe(false);
  });

  test('that is another VM’s address stays that VM’s, whoever has the lower id', async () => {
    await host.put(withPairs(one, two.addresses[0]!));
    await host.put(securityGroup('open', [{ action: 'Allow', protocol: 17, destination: { ports: [7001] } }]));
    await host.untilPasses(one, two, udp(7001));
    expect(await leadsTo(two.addresses[0]!)).toBe(tapOf(two));
    expect(await host.passes(one, two, { ...udp(7001), source: two.addresses[0]! })).toBe(false);
  });

  test('goes when the host gets the address, or BIRD’s configuration, a Node or a BGPPeer names it, and comes back', async () => {
    const pair = '10.65.0.200';
    await host.put(withPairs(one, pair));
    const untilLeads = (toWorkload: boolean): Promise<void> =>
      host.until(async () => ((await leadsTo(pair)) === tapOf(one)) === toWorkload, `${pair} to ${toWorkload ? 'come' : 'go'}`);
    const untilSource = (passes: boolean): Promise<void> => host.untilPasses(one, two, { ...udp(7000), source: pair }, passes);
    await untilLeads(true);
    await untilSource(true);
    const node = resource('Node', 'nodes/compute-9', { bgp: { ipv4Address: `${pair}/24` } });
    const peer = resource('BGPPeer', 'bgppeers/tor', { peerIP: pair });
    const ways: [() => unknown, () => unknown][] = [
      [() => host.exec('ip', 'address', 'add', `${pair}/32`, 'dev', 'fabric'), () => host.exec('ip', 'address', 'del', `${pair}/32`, 'dev', 'fabric')],
      [
        () => host.exec('ip', 'route', 'add', '198.51.100.0/24', 'via', pair, 'dev', 'fabric', 'onlink'),
        () => host.exec('ip', 'route', 'del', '198.51.100.0/24'),
      ],
      [() => writeFileSync(birdFile, `protocol bgp up { local as 64512; neighbor ${pair} as 64513; }`), () => rmSync(birdFile)],
      [() => host.put(node), () => host.delete(node.key)],
      [() => host.put(peer), () => host.delete(peer.key)],
    ];
    for (const [take, giveBack] of ways) {
      await take();
      await untilLeads(false);
      await untilSource(false);
      await untilStatus(one, 'error');
      expect(await host.passes(two, one, udp(7000))).toBe(true);
      await giveBack();
      await untilLeads(true);
      await untilSource(true);
      await untilStatus(one, 'up');
    }
  });
});

test('a prefix in ipNetworks is nobody’s: the host’s default route stays what it was', async () => {
  await host.put(
    workloadEndpoint({ ...one, spec: { ipNetworks: [...one.addresses.map(prefixed), '0.0.0.0/0', '0.0.0.0/1', '128.0.0.0/1', '::/0', '::/1', '8000::/1'] } }),
  );
  await untilStatus(one, 'error');
  expect([await leadsTo('8.8.8.8'), await leadsTo('2001:db8::1')]).toEqual(['fabric', 'fabric']);
  expect(await pings('203.0.113.1')).toBe(true);
  expect(await host.passes(one, two, { ...udp(7000), source: '8.8.8.8' })).toBe(false);
  expect(await host.passes(one, two, udp(7000))).toBe(true);
});

test('a floating IP that is the router’s address, or stands for what is not the workload’s, is none', async () => {
  const nats = [
    { internalIP: one.addresses[0], externalIP: router[4] },
    { internalIP: two.addresses[0], externalIP: '10.65.9.9' },
    { internalIP: one.addresses[0], externalIP: '10.65.9.10' },
  ];
  await host.put(workloadEndpoint({ ...one, spec: { ipNATs: nats } }));
  await untilStatus(one, 'error');
  expect([await leadsTo(router[4]), await leadsTo('10.65.9.9'), await leadsTo('10.65.9.10')]).toEqual(['fabric', 'fabric', tapOf(one)]);
  expect(await host.exec('nft', 'list', 'map', 'inet', 'calico-felix', 'floating-to-fixed4')).not.toMatch(/172\.16\.9\.1 |10\.65\.9\.9 /);
});

test('the host does not answer for a gateway that is the address of its own router', async () => {
  await host.put(workloadEndpoint({ ...one, spec: { ipv6Gateway: router[6] } }));
  await untilStatus(one, 'error');
  expect(await host.exec('ip', '-6', 'neigh', 'show', 'proxy')).not.toContain(router[6]);
});

describe('a workload that may send from prefixes', () => {
  /** Counts the packets that the rules allow to the host's own ARP and neighbour discovery. */
  async function watchClaims(): Promise<(address: string) => Promise<number>> {
    await host.exec(
      'nft',
      'add table arp spy; add chain arp spy input { type filter hook input priority 300; }; add set arp spy seen { type ipv4_addr; flags dynamic; counter; }; add rule arp spy input iifname "tap*" update @seen { arp saddr ip counter }',
    );
    return async (address) => {
      const listed = await host.exec('nft', 'list', 'set', 'arp', 'spy', 'seen');
      return Number(new RegExp(`[ {]${address.replaceAll('.', '\\.')} counter packets (\\d+)`).exec(listed)?.[1] ?? 0);
    };
  }

  test('port security off: it sends from anywhere, but not as the host, its router, or another VM, whatever its MAC', async () => {
    await host.put(workloadEndpoint({ ...one, spec: { profiles: ['projectcalico-default-allow'], allowSpoofedSourcePrefixes: ['0.0.0.0/0', '::/0'] } }));
    await host.untilPasses(one, two, { ...udp(7000), source: '8.8.8.8' });
    const three = await host.plug(endpointNumber(3));
    await host.put(workloadEndpoint(three));
    await host.untilPasses(three, two, udp(7000));
    expect(await host.passes(one, two, { ...udp(7000), source: '8.8.8.8', sourceMac: '02:00:00:00:00:09' })).toBe(true);
    expect(await host.passes(one, two, { ...udp(7000), source: '2001:db8::8' }, 6)).toBe(true);
    for (const family of [4, 6] as const) {
      for (const source of [router[family], own[family], three.addresses[family === 4 ? 0 : 1]!, family === 4 ? '10.65.0.1' : 'fd65::1'])
        for (const sourceMac of [one.mac, three.mac])
          expect([source, await host.passes(one, two, { ...udp(7000), source, sourceMac }, family)]).toEqual([source, false]);
    }
    const claimed = await watchClaims();
    for (const address of ['8.8.8.8', router[4], own[4], three.addresses[0]!]) host.sendArp(one, 1, address, '10.65.0.1');
    await host.until(async () => (await claimed('8.8.8.8')) > 0, 'a claim that is let through');
    for (const address of [router[4], own[4], three.addresses[0]!]) expect([address, await claimed(address)]).toEqual([address, 0]);
  });

  test('its ICMP errors are about its own connections: by a prefix it cannot break another VM’s', async () => {
    await host.put(workloadEndpoint({ ...one, spec: { allowSpoofedSourcePrefixes: ['0.0.0.0/0', '::/0'] } }));
    await host.untilPasses(one, two, { ...udp(7000), source: '8.8.8.8' });
    const bytes = (address: string): Uint8Array => addressBytes(address as IpAddress);
    let told = 90_000_000;
    /** Endpoint one reports to two, by ICMP, that its packet to an address did not arrive. Returns whether the report arrives. */
    async function tells(source: string, destination: string): Promise<boolean> {
      const connection = { source: bytes(two.addresses[0]!), destination: bytes(destination), protocol: 17, sourcePort: 4000, destinationPort: 7000 };
      const macs = { sourceMac: two.mac, destinationMac: two.gatewayMac };
      host.wire.send(two.interfaceIndex, frame({ ...macs, ...connection, payload: new Uint8Array(8) }));
      told += 1;
      const quoted = frame({ ...macs, ...connection, payload: new TextEncoder().encode(`FELIX   ${told}`) }).subarray(14);
      const error = {
        source: bytes(source),
        destination: bytes(two.addresses[0]!),
        protocol: 1,
        icmp: { type: 3, code: 1 },
        sourcePort: 0,
        destinationPort: 0,
      };
      for (let count = 0; count < 10; count += 1) {
        host.wire.send(one.interfaceIndex, frame({ sourceMac: one.mac, destinationMac: one.gatewayMac, ...error, payload: quoted }));
        await new Promise((resolve) => setTimeout(resolve, 20));
        host.readArrivals();
        if (host.arrivalOf(told)?.interfaceIndex === two.interfaceIndex) return true;
      }
      return false;
    }
    await host.until(() => tells(one.addresses[0]!, one.addresses[0]!), 'a report of its own connection');
    expect(await tells('8.8.8.8', '8.8.8.8')).toBe(false);
    expect(await tells(one.addresses[0]!, '203.0.113.1')).toBe(false);
    expect(await tells('203.0.113.1', '203.0.113.1')).toBe(false);
  });

  test('a prefix pair: sources, claims and MACs are held to it', async () => {
    await host.put(workloadEndpoint({ ...one, spec: { allowSpoofedSourcePrefixes: ['10.66.0.0/30'] } }));
    await host.untilPasses(one, two, { ...udp(7000), source: '10.66.0.1' });
    expect(await host.passes(one, two, { ...udp(7000), source: '10.66.0.5' })).toBe(false);
    expect(await host.passes(one, two, { ...udp(7000), source: '10.66.0.1', sourceMac: two.mac })).toBe(false);
    const claimed = await watchClaims();
    for (const address of ['10.66.0.5', two.addresses[0]!, '10.66.0.1']) host.sendArp(one, 1, address, '10.65.0.1');
    await host.until(async () => (await claimed('10.66.0.1')) > 0, 'a claim that is let through');
    expect([await claimed('10.66.0.5'), await claimed(two.addresses[0]!)]).toEqual([0, 0]);
  });
});

test('a VRRP router’s MAC passes for its pair’s address only, and is where the host sends to', async () => {
  const [vip, vmac] = ['10.65.0.200', '00:00:5e:00:01:07'];
  const { key, value } = withPairs(one, vip);
  const endpoint = JSON.parse(value) as { metadata: object };
  const annotated = { ...endpoint, metadata: { ...endpoint.metadata, annotations: { [addressPairMacsAnnotation]: JSON.stringify({ [vip]: [vmac] }) } } };
  await host.put({ key, value: JSON.stringify(annotated) });
  await host.untilPasses(one, two, { ...udp(7000), source: vip, sourceMac: vmac });
  expect(await host.passes(one, two, { ...udp(7000), sourceMac: vmac })).toBe(false);
  expect(await host.passes(one, two, { ...udp(7000), source: vip, sourceMac: '00:00:5e:00:01:08' })).toBe(false);
  expect(await host.passes(two, two, { ...udp(7000), source: vip, sourceMac: vmac })).toBe(false);
  await host.until(async () => (await host.exec('ip', 'neigh', 'show', vip)).includes(vmac), 'the neighbour entry');
});
