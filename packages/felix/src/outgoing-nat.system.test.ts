// Outgoing NAT of IP pools on a real kernel: whom packets come from, as a host outside of the cloud sees it.
import { addressFromBytes } from '@calico-openstack/addresses';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Plugged, type Probe, run, TestHost } from './testing/host.ts';
import { endpointNumber, felixConfiguration, resource, securityGroup, workloadEndpoint } from './testing/resources.ts';

const [UDP, TCP, ICMP] = [17, 6, 1];
/** Where another host serves metadata. */
const metadata = { address: '192.0.2.10', port: 8775 };
const outside = { addresses: ['192.0.2.9', '2001:db8:9::9'] };
const ofHost = ['198.51.100.1', '2001:db8:1::1'];

let host: TestHost;
let [one, two]: [Plugged, Plugged] = [] as never;
let fabric: { readonly ifindex: number; readonly address: string };

beforeAll(async () => {
  host = await TestHost.open();
  one = await host.plug(endpointNumber(1));
  two = await host.plug(endpointNumber(2));
  await host.exec('ip', 'link', 'add', 'uplink', 'up', 'type', 'veth', 'peer', 'name', 'fabric', 'netns', host.workloadsName);
  await run('ip', ['-n', host.workloadsName, 'link', 'set', 'fabric', 'up']);
  [fabric] = JSON.parse((await run('ip', ['-n', host.workloadsName, '-j', 'link', 'show', 'fabric'])).stdout) as [typeof fabric];
  for (const address of ofHost) await host.exec('ip', 'address', 'add', address, 'dev', 'uplink', ...(address.includes(':') ? ['nodad'] : []));
  for (const address of [...outside.addresses, metadata.address]) {
    await host.exec('ip', 'route', 'add', address, 'dev', 'uplink');
    await host.exec('ip', 'neigh', 'add', address, 'lladdr', fabric.address, 'dev', 'uplink', 'nud', 'permanent');
  }
  await host.put(securityGroup('open', [{ action: 'Allow', protocol: UDP }]), workloadEndpoint(one), workloadEndpoint(two));
  host.startAgent(undefined, { FELIX_METADATAADDR: metadata.address, FELIX_METADATAPORT: String(metadata.port) });
  await host.untilProgrammed();
  await host.untilPasses(one, two, { protocol: UDP, destinationPort: 7000 });
});
afterAll(() => host.close());

const pool = (name: string, cidr: string, spec: object = {}) => resource('IPPool', `ippools/${name}`, { cidr, ...spec });

/** The interface that a packet has come to. */
async function untilArrived(probe: number): Promise<number> {
  await host.until(() => {
    host.readArrivals();
    return host.arrivalOf(probe) !== undefined;
  }, 'the packet');
  return host.arrivalOf(probe)!.interfaceIndex;
}

/** The source of a packet as it arrives. */
async function sourceSeen(
  from: Plugged,
  to: { readonly addresses: readonly string[] },
  probe: Probe,
  family: 4 | 6 = 4,
): Promise<{ address: string; port: number }> {
  const number = host.send(from, to, probe, family);
  await untilArrived(number);
  const { frame } = host.arrivalOf(number)!;
  const [start, length] = family === 4 ? [26, 4] : [22, 16];
  return { address: addressFromBytes(frame.slice(start, start + length)), port: (frame[family === 4 ? 34 : 54]! << 8) | frame[family === 4 ? 35 : 55]! };
}
const udp: Probe = { protocol: UDP, destinationPort: 7000 };
const untilSeenAs = (address: string, family: 4 | 6 = 4) =>
  host.until(async () => (await sourceSeen(one, outside, udp, family)).address === address, `packets to come from ${address}`);

describe('a pool with natOutgoing', () => {
  test('lends its workloads an address of the host, in both families, to destinations outside of all pools alone', async () => {
    expect((await sourceSeen(one, outside, udp)).address).toBe('10.65.0.11');
    await host.put(pool('four', '10.65.0.0/24', { natOutgoing: true }), pool('six', 'fd65::/64', { natOutgoing: true }));
    await untilSeenAs(ofHost[0]!);
    await untilSeenAs(ofHost[1]!, 6);
    expect((await sourceSeen(one, outside, { protocol: ICMP, icmp: { type: 8, code: 0 } })).address).toBe(ofHost[0]);
    for (const family of [4, 6] as const) expect((await sourceSeen(one, two, udp, family)).address).toBe(one.addresses[family === 4 ? 0 : 1]);
    await host.put(pool('other', '192.0.2.0/24'));
    await untilSeenAs('10.65.0.11');
    expect((await sourceSeen(one, outside, udp, 6)).address).toBe(ofHost[1]);
    await host.delete(pool('other', '').key);
    await untilSeenAs(ofHost[0]!);
  });

  test('answers come back to the workload, and what is not its own address is not let out by it', async () => {
    const seen = await sourceSeen(one, outside, { ...udp, sourcePort: 5353 });
    const sender = {
      ...one,
      addresses: outside.addresses,
      mac: fabric.address,
      interfaceIndex: fabric.ifindex,
      gatewayMac: (await host.link('uplink', (link) => link?.mac !== undefined))!.mac!,
    };
    await host.exec('ip', 'neigh', 'replace', ofHost[0]!, 'lladdr', sender.gatewayMac, 'dev', 'uplink').catch(() => undefined);
    const answer = host.send(sender, { addresses: [ofHost[0]!] }, { protocol: UDP, sourcePort: 7000, destinationPort: seen.port });
    expect(await untilArrived(answer)).toBe(one.interfaceIndex);
    const spoofed = host.send(one, outside, { ...udp, source: '10.65.0.99' });
    await new Promise((resolve) => setTimeout(resolve, 100));
    host.readArrivals();
    expect(host.arrivalOf(spoofed)).toBeUndefined();
  });

  test('a floating IP still leads to its workload, which sees whom a packet comes from, and itself by it', async () => {
    await host.put(workloadEndpoint({ ...two, spec: { ipNATs: [{ internalIP: '10.65.0.12', externalIP: '203.0.113.12' }] } }));
    const floating = { addresses: ['203.0.113.12'] };
    await host.until(async () => {
      const number = host.send(one, floating, udp);
      await new Promise((resolve) => setTimeout(resolve, 20));
      host.readArrivals();
      return host.arrivalOf(number)?.interfaceIndex === two.interfaceIndex;
    }, 'the floating IP');
    expect((await sourceSeen(one, floating, udp)).address).toBe('10.65.0.11');
    expect((await sourceSeen(two, floating, udp)).address).toBe('203.0.113.12');
    expect((await sourceSeen(two, outside, udp)).address).toBe(ofHost[0]);
  });

  test('a metadata service on another host gets a workload’s own address, by which Nova knows it', async () => {
    const asked = { addresses: ['169.254.169.254'] };
    expect((await sourceSeen(one, asked, { protocol: TCP, destinationPort: 80, tcpFlags: 2 })).address).toBe('10.65.0.11');
    const elsewhere = { addresses: [metadata.address] };
    expect((await sourceSeen(one, elsewhere, { protocol: TCP, destinationPort: 80, tcpFlags: 2 })).address).toBe(ofHost[0]);
    expect((await sourceSeen(one, outside, { protocol: TCP, destinationPort: metadata.port, tcpFlags: 2 })).address).toBe(ofHost[0]);
  });

  test('to hosts of the cloud, a workload is seen by its own address where NATOutgoingExclusions says so', async () => {
    const node = (addresses: readonly string[]) => resource('Node', 'nodes/host9', { addresses: addresses.map((address) => ({ address })) });
    await host.put(node(outside.addresses), felixConfiguration({ natOutgoingExclusions: 'IPPoolsAndHostIPs' }));
    await untilSeenAs('10.65.0.11');
    await untilSeenAs('fd65::11', 6);
    await host.put(node([outside.addresses[1]!]));
    await untilSeenAs(ofHost[0]!);
    expect((await sourceSeen(one, outside, udp, 6)).address).toBe('fd65::11');
    await host.put(felixConfiguration());
    await untilSeenAs(ofHost[1]!, 6);
  });

  test('NATOutgoingAddress and NATPortRange say which address and which ports; natOutgoing goes as it came', async () => {
    await host.put(felixConfiguration({ natOutgoingAddress: '198.51.100.77', natPortRange: '50000:50999' }));
    await untilSeenAs('198.51.100.77');
    for (let count = 0; count < 3; count += 1) {
      const { port } = await sourceSeen(one, outside, udp);
      expect([port >= 50000, port <= 50999]).toEqual([true, true]);
    }
    expect(await sourceSeen(one, outside, { ...udp, sourcePort: 5000 }, 6)).toMatchObject({
      address: ofHost[1],
      port: expect.toSatisfy((port: number) => port >= 50000 && port <= 50999),
    });
    await host.put(pool('four', '10.65.0.0/24'));
    await untilSeenAs('10.65.0.11');
    await untilSeenAs(ofHost[1]!, 6);
    await host.delete(pool('six', '').key);
    await untilSeenAs('fd65::11', 6);
    expect(await host.exec('nft', 'list', 'chain', 'inet', 'calico-felix', 'nat-postrouting')).not.toContain('masquerade');
  });
});
