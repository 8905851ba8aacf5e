// Other programs change the host, and workloads attack it: the agent restores its own objects, and leaves those of others alone.
import { addressBytes, type IpAddress } from '@calico-openstack/addresses';
import { frame } from '@calico-openstack/kernel/testing/frames';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Plugged, TestHost } from './testing/host.ts';
import { endpointNumber, felixConfiguration, resource, securityGroup, tapOf, workloadEndpoint } from './testing/resources.ts';

const udp = (destinationPort: number) => ({ protocol: 17, destinationPort });
const open = securityGroup('open', [{ action: 'Allow', protocol: 17, destination: { ports: [7000] } }]);

let host: TestHost;
let [one, two]: [Plugged, Plugged] = [] as never;

beforeEach(async () => {
  host = await TestHost.open();
  one = await host.plug(endpointNumber(1));
  two = await host.plug(endpointNumber(2));
});
afterEach(() => host.close());

/** Counts from now on the packets from workloads to a UDP port of the host that the rules allow. */
async function countLetIn(udpPort: number): Promise<() => Promise<number>> {
  const chain = `type filter hook input priority 300; iifname "tap*" udp dport ${udpPort} counter name let_in;`;
  await host.exec('nft', `table inet spy {\n counter let_in {\n }\n chain input {\n ${chain}\n }\n}`);
  return async () => Number(/packets (\d+)/.exec(await host.exec('nft', 'list', 'counter', 'inet', 'spy', 'let_in'))![1]);
}

async function running(): Promise<void> {
  await host.put(open, workloadEndpoint(one), workloadEndpoint(two));
  host.startAgent();
  await host.untilProgrammed();
  await host.untilPasses(one, two, udp(7000));
}

describe('another program flushes the ruleset', () => {
  test('the rules come back', async () => {
    await running();
    await host.exec('nft', 'flush', 'ruleset');
    await host.untilPasses(one, two, udp(7999), false);
    expect(await host.passes(one, two, { ...udp(7000), source: '10.65.0.99' })).toBe(false);
    await host.untilPasses(one, two, udp(7000));
  });

  test('while etcd has not been heard of: every tap is closed again', async () => {
    await host.etcdProcess.kill();
    await host.exec('sysctl', '-q', '-w', 'net.ipv4.ip_forward=1');
    for (const each of [one, two]) {
      await host.exec('ip', 'route', 'add', `${each.addresses[0]}/32`, 'dev', tapOf(each));
      await host.exec('ip', 'neigh', 'add', each.addresses[0]!, 'lladdr', each.mac, 'dev', tapOf(each), 'nud', 'permanent');
    }
    expect(await host.passes(one, two, udp(7000))).toBe(true);
    host.startAgent();
    await host.untilPasses(one, two, udp(7000), false);
    await host.exec('nft', 'flush', 'ruleset');
    await host.untilSaid('somebody else has removed the rules of Felix');
    await host.untilPasses(one, two, udp(7000), false);
  });
});

describe('an endpoint whose interface is the host’s own', () => {
  test('is refused with the reason, and nothing of the interface is touched', async () => {
    await host.exec('ip', 'link', 'add', 'uplink', 'type', 'veth', 'peer', 'name', 'fabric');
    await host.exec('ip', 'link', 'set', 'uplink', 'up');
    const settings = ['route_localnet', 'proxy_arp', 'rp_filter'].map((name) => `net.ipv4.conf.uplink.${name}`);
    const state = async () => [await host.exec('ip', 'route', 'show', 'dev', 'uplink'), await host.exec('sysctl', ...settings)];
    const before = await state();
    await host.put(
      workloadEndpoint({ ...endpointNumber(8), spec: { interfaceName: 'uplink' } }),
      workloadEndpoint({ ...endpointNumber(9), spec: { interfaceName: 'lo' } }),
    );
    await running();
    for (const bad of [endpointNumber(8), endpointNumber(9)]) await host.until(async () => (await host.statusOf(bad)) === '{"status":"error"}', 'the refusal');
    await host.untilSaid('fits its interface lo, so that nothing would police it');
    expect(await state()).toEqual(before);
    // The loopback that leads to etcd still works, so changes of the datastore arrive.
    await host.put(securityGroup('open', [{ action: 'Allow', protocol: 17, destination: { ports: [7001] } }]));
    await host.untilPasses(one, two, udp(7001));
  });
});

describe('a workload', () => {
  test('reaches nothing that listens on the host’s loopback alone, whatever its policy and the host’s action say', async () => {
    await host.put(securityGroup('open', [{ action: 'Allow' }], [{ action: 'Allow' }]));
    await host.put(felixConfiguration({ defaultEndpointToHostAction: 'ACCEPT' }), workloadEndpoint(one), workloadEndpoint(two));
    host.startAgent();
    await host.untilPasses(one, two, udp(7000));
    await host.exec('ip', 'address', 'add', '192.0.2.1/32', 'dev', 'lo');
    const letIn = await countLetIn(53);
    host.send(one, two, { ...udp(53), destination: '127.0.0.53' });
    host.send(one, two, { ...udp(53), destination: '192.0.2.1' }); // this packet is sent later on the same wire, so the first was handled when this one has arrived
    await host.until(async () => (await letIn()) > 0, 'the packet to the host’s address');
    expect(await letIn()).toBe(1);
  });

  test('names no relay to DHCP: the answer would go there, past the policy of whoever it is', async () => {
    await running();
    const letIn = await countLetIn(67);
    const discover = (relay: string): void => {
      const payload = Uint8Array.from([1, 1, 6, 0, ...new Array<number>(20).fill(0), ...addressBytes(relay as IpAddress), ...new Array<number>(212).fill(0)]);
      const [source, destination] = ['0.0.0.0', '255.255.255.255'].map((address) => addressBytes(address as IpAddress)) as [Uint8Array, Uint8Array];
      const packet = { source, destination, protocol: 17, sourcePort: 68, destinationPort: 67, payload };
      host.wire.send(one.interfaceIndex, frame({ sourceMac: one.mac, destinationMac: 'ff:ff:ff:ff:ff:ff', ...packet }));
    };
    discover('10.65.0.12');
    discover('0.0.0.0');
    await host.until(async () => (await letIn()) > 0, 'the request without a relay');
    expect(await letIn()).toBe(1);
  });

  test('tells no lies about others’ connections: an ICMP error passes only about its own', async () => {
    const third = await host.plug(endpointNumber(3, []));
    await host.put(workloadEndpoint(third));
    await running();
    await host.until(async () => (await host.statusOf(third)) === '{"status":"up"}', 'the third endpoint');
    const bytes = (workload: Plugged) => addressBytes(workload.addresses[0] as IpAddress);
    const connection = { source: bytes(one), destination: bytes(two), protocol: 17, sourcePort: 555, destinationPort: 7000 };
    expect(await host.passes(one, two, { ...udp(7000), sourcePort: 555 })).toBe(true);
    /** Sends a report from `from` to `one` that its packet to `two` was too big. Returns whether it has arrived. */
    const tells = (from: Plugged, mark: number): (() => boolean) => {
      const quoted = frame({ ...connection, sourceMac: one.mac, destinationMac: from.mac, payload: Buffer.from(`FELIX   ${mark}`) }).subarray(14);
      const error = { protocol: 1, icmp: { type: 3, code: 4 }, destinationPort: 1300, payload: quoted };
      host.readArrivals();
      host.wire.send(
        from.interfaceIndex,
        frame({ sourceMac: from.mac, destinationMac: from.gatewayMac, source: bytes(from), destination: bytes(one), ...error }),
      );
      return () => {
        host.readArrivals();
        return host.arrivalOf(mark)?.interfaceIndex === one.interfaceIndex;
      };
    };
    const ofStranger = tells(third, 90_000_001);
    await host.until(tells(two, 90_000_002), 'the report by the other end');
    await host.untilPasses(one, two, udp(7000)); // these packets pass the same rules later
    expect(ofStranger()).toBe(false);
  });

  test('that sends in another’s name is dropped also where denial is a rejection: that would go to the other', async () => {
    await host.put(felixConfiguration({ nftablesFilterDenyAction: 'REJECT' }));
    await running();
    const spoofed = host.send(one, { addresses: ['203.0.113.5'] }, { ...udp(7999), source: two.addresses[0]! });
    await host.untilPasses(one, two, udp(7000));
    expect(host.arrivalOf(spoofed)).toBe(undefined); // an ICMP error would quote the packet
  });
});

test('a rule with lists too long for one rule of the kernel holds up nothing, and means what it says', async () => {
  await running();
  const notNets = ['10.65.0.0/24', ...Array.from({ length: 500 }, (_, index) => `172.16.${index >> 1}.${(index & 1) * 128}/26`)];
  const notPorts = [7001, ...Array.from({ length: 500 }, (_, index) => 10_000 + 2 * index)];
  const egress = [{ notNets }, { notPorts }].map((destination) => ({ action: 'Deny', protocol: 'UDP', destination }));
  await host.put(resource('GlobalNetworkPolicy', 'globalnetworkpolicies/long', { order: 10, selector: 'all()', types: ['Egress'], egress }));
  await host.put(securityGroup('open', [{ action: 'Allow', protocol: 17, destination: { ports: [7001, 7002, 10_004] } }]));
  await host.untilPasses(one, two, udp(7001));
  expect(await host.passes(one, two, udp(10_004))).toBe(true);
  expect(await host.passes(one, two, udp(7002))).toBe(false);
});
