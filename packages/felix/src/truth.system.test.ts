// Status is what is so: `up` only where packets can pass, and what others switched off is switched on again. On a real kernel, where others do what they do on hosts of clouds.
import { addressBytes, type IpAddress } from '@calico-openstack/addresses';
import { frame } from '@calico-openstack/kernel/testing/frames';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Plugged, run, TestHost } from './testing/host.ts';
import { endpointNumber, felixConfiguration, securityGroup, type TestEndpoint, tapOf, workloadEndpoint } from './testing/resources.ts';

const udp = { protocol: 17, destinationPort: 7000 };
const open = securityGroup('open', [
  { action: 'Allow', ipVersion: 4 },
  { action: 'Allow', ipVersion: 6 },
]);
/** Nothing is compared by the clock: what is restored was reported by the kernel. */
const neverCompared = { routeRefreshInterval: '0s', nftablesRefreshInterval: '0s' };

let host: TestHost;
let [one, two]: [Plugged, Plugged] = [] as never;

const statusIs = (endpoint: TestEndpoint, status: string): Promise<void> =>
  host.until(async () => (await host.statusOf(endpoint)) === `{"status":"${status}"}`, `status ${status}`);
const sysctl = (setting: string): Promise<string> => host.exec('sysctl', '-n', setting).then((text) => text.trim());
const set = (setting: string, value: string | number): Promise<string> => host.exec('sysctl', '-q', '-w', `${setting}=${value}`);
const untilSysctl = (setting: string, value: string): Promise<void> => host.until(async () => (await sysctl(setting)) === value, `${setting} to be ${value}`);

beforeAll(async () => {
  host = await TestHost.open();
  one = await host.plug(endpointNumber(1));
  two = await host.plug(endpointNumber(2));
  await host.put(felixConfiguration(neverCompared), open, workloadEndpoint(one), workloadEndpoint(two));
  host.startAgent();
  await host.untilProgrammed();
  await statusIs(one, 'up');
  await statusIs(two, 'up');
});
afterAll(() => host.close());
afterEach(() => {
  host.output = host.output.slice(-100_000);
});

test('a tap that is a port of a bridge is an error, until it is none', async () => {
  const tap = tapOf(one);
  await host.exec('ip', 'link', 'add', 'brq1', 'type', 'bridge');
  await host.exec('ip', 'link', 'set', tap, 'master', 'brq1');
  await statusIs(one, 'error');
  await host.untilSaid('is a port of bridge brq1');
  expect(await host.statusOf(two)).toBe('{"status":"up"}');
  await host.exec('ip', 'link', 'set', tap, 'nomaster');
  await statusIs(one, 'up');
  await host.untilPasses(one, two, udp);
  await host.exec('ip', 'link', 'delete', 'brq1');
});

describe('another program’s chain', () => {
  const chain = (rules: string): string => `table inet strict {\n chain through {\n type filter hook forward priority 10; policy drop;\n ${rules}\n }\n}`;
  afterEach(() => host.exec('nft', 'flush', 'ruleset'));

  test('that drops whatever is forwarded is an error of all endpoints, until it lets workloads through', async () => {
    await host.exec('nft', chain('iifname "docker0" accept; ct state established accept'));
    for (const each of [one, two]) await statusIs(each, 'error');
    await host.untilSaid('chain through of table inet strict drops what workloads send');
    expect(await host.passes(one, two, udp)).toBe(false);
    await host.exec('nft', 'add', 'rule', 'inet', 'strict', 'through', 'iifname', '"tap*"', 'oifname', '"tap*"', 'accept');
    await host.untilPasses(one, two, udp);
    await host.exec('nft', 'add', 'rule', 'inet', 'strict', 'through', 'iifname', '"tap*"', 'accept');
    await host.exec('nft', 'add', 'rule', 'inet', 'strict', 'through', 'oifname', '"tap*"', 'accept');
    for (const each of [one, two]) await statusIs(each, 'up');
  });

  test('that lets nothing in to the host is an error of endpoints with IPv6, whose gateway nobody could find', async () => {
    await host.exec('nft', `table inet strict {\n chain in {\n type filter hook input priority 0; policy drop;\n iif lo accept\n udp dport 67 accept\n }\n}`);
    await statusIs(one, 'error');
    await host.untilSaid('drops neighbour solicitations to this host');
    await host.exec('nft', 'insert', 'rule', 'inet', 'strict', 'in', 'meta', 'l4proto', 'icmpv6', 'accept');
    await statusIs(one, 'up');
  });

  test('of iptables, which drops by its policy, is one too', async () => {
    await host.exec('iptables-nft', '-P', 'FORWARD', 'DROP');
    await statusIs(one, 'error');
    await host.untilSaid('chain FORWARD of table ip filter drops');
    await host.exec('iptables-nft', '-P', 'FORWARD', 'ACCEPT');
    await statusIs(one, 'up');
  });
});

describe('settings that another program sets back', () => {
  test.each(['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding'])('%s is switched on again', async (setting) => {
    await host.untilPasses(one, two, udp, true, setting.includes('ipv6') ? 6 : 4);
    await set(setting, 0);
    await untilSysctl(setting, '1');
    await host.untilPasses(one, two, udp, true, setting.includes('ipv6') ? 6 : 4);
    await host.untilSaid('another program has switched forwarding off');
  });

  test('proxy_arp, proxy_ndp and rp_filter of a tap are set again at once', async () => {
    const tap = tapOf(one);
    const before = await sysctl(`net.ipv4.conf.${tap}.rp_filter`);
    for (const [setting, value, others] of [
      [`net.ipv4.conf.${tap}.proxy_arp`, '1', 0],
      [`net.ipv6.conf.${tap}.proxy_ndp`, '1', 0],
      [`net.ipv4.conf.${tap}.rp_filter`, before, before === '2' ? 1 : 2],
    ] as const) {
      await set(setting, others);
      await untilSysctl(setting, value);
    }
    await host.untilSaid('another program has changed sysctls of a workload');
  });

  test('IPv6 that is switched off, for all interfaces or on a tap, is on again, though the kernel does not report it', async () => {
    for (const name of ['all', tapOf(one)]) {
      await set(`net.ipv6.conf.${name}.disable_ipv6`, 1);
      await untilSysctl(`net.ipv6.conf.${tapOf(one)}.disable_ipv6`, '0');
      await host.untilPasses(one, two, udp, true, 6);
    }
    for (const each of [one, two]) await statusIs(each, 'up');
    await set('net.ipv6.conf.all.disable_ipv6', 0);
  });

  test('route_localnet, of which the kernel reports nothing, is set again at RouteRefreshInterval', async () => {
    const setting = `net.ipv4.conf.${tapOf(one)}.route_localnet`;
    await set(setting, 0);
    await host.put(felixConfiguration({ ...neverCompared, routeRefreshInterval: '1s' }));
    await untilSysctl(setting, '1');
    await host.put(felixConfiguration(neverCompared));
  });

  test('rp_filter for all interfaces, which overrules that of a workload that may send from prefixes, is told, and the workload’s is the loose one then', async () => {
    await host.put(felixConfiguration({ ...neverCompared, workloadSourceSpoofing: 'Any' }));
    await host.put(workloadEndpoint({ ...one, spec: { allowSpoofedSourcePrefixes: ['203.0.113.0/24'] } }));
    await untilSysctl(`net.ipv4.conf.${tapOf(one)}.rp_filter`, '0');
    await set('net.ipv4.conf.all.rp_filter', 1);
    await host.untilSaid('overrules that of workloads');
    await untilSysctl(`net.ipv4.conf.${tapOf(one)}.rp_filter`, '2');
    await set('net.ipv4.conf.all.rp_filter', 0);
    await untilSysctl(`net.ipv4.conf.${tapOf(one)}.rp_filter`, '0');
    await host.put(felixConfiguration(neverCompared), workloadEndpoint(one));
  });
});

describe('addresses that others take off a tap', () => {
  test('the last IPv4 one: the kernel drops the routes, and they are back', async () => {
    const tap = tapOf(two);
    await host.exec('ip', 'address', 'add', '10.65.0.1/32', 'dev', tap);
    await host.untilPasses(one, two, udp);
    await host.exec('ip', 'address', 'delete', '10.65.0.1/32', 'dev', tap);
    await host.untilPasses(one, two, udp);
    // Gone and there again between two looks: the routes are gone all the same.
    await host.exec('ip', 'address', 'add', '10.65.0.1/32', 'dev', tap);
    await host.exec('sh', '-c', `ip address delete 10.65.0.1/32 dev ${tap}; ip address add 10.65.0.1/32 dev ${tap}`);
    await host.untilPasses(one, two, udp);
    await host.exec('ip', 'address', 'delete', '10.65.0.1/32', 'dev', tap);
  });

  test('the link-local one: it is back, and the gateway answers', async () => {
    await host.exec('ip', '-6', 'address', 'flush', 'dev', tapOf(two));
    await host.until(async () => (await host.exec('ip', '-6', 'address', 'show', 'dev', tapOf(two))).includes('fe80::'), 'the link-local address');
    await host.untilPasses(one, two, udp, true, 6);
  });
});

/** The MAC that answers an ARP request of a workload. */
async function answers(workload: Plugged, address: string): Promise<void> {
  await host.until(() => {
    host.sendArp(workload, 1, workload.addresses[0]!, address);
    const wanted = Buffer.from(addressBytes(address as IpAddress));
    return host
      .readArrivals()
      .some(
        ({ interfaceIndex, frame: bytes }) =>
          interfaceIndex === workload.interfaceIndex && bytes[13] === 6 && bytes[21] === 2 && wanted.equals(bytes.subarray(28, 32)),
      );
  }, `an answer for ${address}`);
}

test('somebody answers for the gateway where the host has no default route, and where arp_ignore is 2 or 8', async () => {
  expect(await host.exec('ip', 'route', 'show', 'default')).toBe('');
  await answers(one, '10.65.0.1');
  await host.exec('ip', 'address', 'add', '10.65.0.1/32', 'dev', tapOf(one));
  for (const value of [2, 8]) {
    await set('net.ipv4.conf.all.arp_ignore', value);
    await answers(one, '10.65.0.1');
  }
  await set('net.ipv4.conf.all.arp_ignore', 0);
  await host.exec('ip', 'address', 'delete', '10.65.0.1/32', 'dev', tapOf(one));
});

describe('at the start', () => {
  const uplink = 'eth1';
  const router = 'fe80::1';
  /** A router advertisement: hop limit 64, a lifetime of 1800 s, no options (RFC 4861, 4.2). */
  const advertisement = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0]);

  test('IPv6 forwarding leaves the host the default route that it has from a router, and those that come', async () => {
    await host.stopAgent();
    await set('net.ipv6.conf.all.forwarding', 0);
    await run('ip', ['-n', host.name, 'link', 'add', uplink, 'type', 'veth', 'peer', 'name', 'router', 'netns', host.workloadsName]);
    await run('ip', ['-n', host.name, 'link', 'set', uplink, 'up']);
    await run('ip', ['-n', host.workloadsName, 'link', 'set', 'router', 'up']);
    await set(`net.ipv6.conf.${uplink}.accept_ra`, 1);
    const [{ ifindex }] = JSON.parse((await run('ip', ['-n', host.workloadsName, '-j', 'link', 'show', 'router'])).stdout) as [{ ifindex: number }];
    const advertise = (): void => {
      const bytes = frame({
        sourceMac: '02:00:00:00:00:01',
        destinationMac: '33:33:00:00:00:01',
        source: addressBytes(router as IpAddress),
        destination: addressBytes('ff02::1' as IpAddress),
        protocol: 58,
        icmp: { type: 134, code: 0 },
        sourcePort: 64 << 8,
        destinationPort: 1800,
        payload: advertisement,
      });
      bytes[21] = 255; // the hop limit, which no router has lowered
      host.wire.send(ifindex, bytes);
    };
    const learnt = async (): Promise<boolean> => (await host.exec('ip', '-6', 'route', 'show', 'default')).includes(`via ${router} dev ${uplink}`);
    const learns = (): Promise<boolean> => {
      advertise();
      return learnt();
    };
    await host.until(learns, 'the router’s route');
    host.output = '';
    host.startAgent();
    await host.untilProgrammed();
    await untilSysctl('net.ipv6.conf.all.forwarding', '1');
    expect(await learnt()).toBe(true);
    expect(await sysctl(`net.ipv6.conf.${tapOf(one)}.accept_ra`)).toBe('0');
    await host.exec('ip', '-6', 'route', 'delete', 'default', 'via', router, 'dev', uplink);
    await host.until(learns, 'the router’s route again');
    await host.exec('ip', 'link', 'delete', uplink);
  });

  test('a kernel without IPv6 has its workloads’ IPv4: they are up, and it is told once', async () => {
    await host.stopAgent();
    host.output = '';
    // What ipv6.disable=1 leaves: no settings of IPv6.
    host.startAgent(['unshare', '-m', 'sh', '-c', 'mount -t tmpfs none /proc/sys/net/ipv6 && exec "$@"', 'sh', ...host.agentCommand]);
    await host.untilProgrammed();
    await host.untilSaid('this kernel has no IPv6');
    await statusIs(one, 'up');
    await host.untilPasses(one, two, udp);
    expect(host.output.match(/this kernel has no IPv6/g)).toHaveLength(1);
    expect(host.output).not.toContain('does not have the sysctl');
  });
});
