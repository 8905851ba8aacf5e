// The whole agent with a real kernel and a real etcd, judged by packets.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { linkLocalOf } from '@calico-openstack/addresses';
import { endpointStatusKey, felixStatusKey } from '@calico-openstack/datamodel';
import { inNamespace, openConntrack } from '@calico-openstack/kernel';
import { relayInto } from '@calico-openstack/kernel/testing/relay';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Plugged, TestHost } from './testing/host.ts';
import {
  clusterInformation,
  deviceId,
  endpointNumber,
  felixConfiguration,
  securityGroup,
  type TestEndpoint,
  tapOf,
  workloadEndpoint,
} from './testing/resources.ts';

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

/** A host with both endpoints, between which a packet has passed. */
async function running(environment: Readonly<Record<string, string>> = {}): Promise<void> {
  await host.put(open, workloadEndpoint(one), workloadEndpoint(two));
  host.startAgent(undefined, environment);
  await host.untilProgrammed();
  await host.untilPasses(one, two, udp(7000));
}

describe('from etcd to packets', () => {
  test('what a security group allows passes, in both families, and nothing else', async () => {
    await running();
    expect(await host.passes(one, two, udp(7000), 6)).toBe(true);
    expect(await host.passes(one, two, udp(7001))).toBe(false);
    expect(await host.passes(one, two, { protocol: 6, destinationPort: 7000 })).toBe(false);
    expect(await host.passes(one, two, { protocol: 1, icmp: { type: 8, code: 0 } })).toBe(false);
  });

  test('spoofed addresses and MACs are dropped', async () => {
    await running();
    expect(await host.passes(one, two, { ...udp(7000), source: '10.65.0.99' })).toBe(false);
    expect(await host.passes(one, two, { ...udp(7000), source: two.addresses[0]! })).toBe(false);
    expect(await host.passes(one, two, { ...udp(7000), source: 'fd65::99' }, 6)).toBe(false);
    expect(await host.passes(one, two, { ...udp(7000), sourceMac: two.mac })).toBe(false);
    expect(await host.passes(one, two, udp(7000))).toBe(true);
  });

  test('a tap that etcd does not know is closed, from and to, and opens when etcd knows it', async () => {
    await running();
    const three = await host.plug(endpointNumber(3));
    await host.exec('ip', 'route', 'add', '10.65.0.13/32', 'dev', tapOf(three), 'metric', '5');
    expect(await host.passes(three, two, udp(7000))).toBe(false);
    expect(await host.passes(one, three, udp(7000))).toBe(false);
    await host.put(workloadEndpoint(three));
    await host.untilPasses(three, two, udp(7000));
    await host.untilPasses(one, three, udp(7000));
  });

  test('rules, members and endpoints come and go', async () => {
    await running();
    await host.put(
      securityGroup('open', [
        { action: 'Allow', protocol: 17, source: { selector: 'has(sg.projectcalico.org/openstack-friends)' }, destination: { ports: [7001] } },
      ]),
    );
    await host.untilPasses(one, two, udp(7000), false);
    expect(await host.passes(one, two, udp(7001))).toBe(false);
    await host.put(workloadEndpoint({ ...one, groups: ['open', 'friends'] }), securityGroup('friends', []));
    await host.untilPasses(one, two, udp(7001));
    await host.put(workloadEndpoint(one));
    await host.untilPasses(one, two, udp(7001), false);
    await host.put(open);
    await host.untilPasses(one, two, udp(7000));
    await host.delete(workloadEndpoint(two).key);
    await host.untilPasses(one, two, udp(7000), false);
    await host.until(async () => !(await host.exec('ip', 'route')).includes(two.addresses[0]!), 'the route to go');
  });

  test('interfaces may come before their endpoint or after, go and come again', async () => {
    await running();
    const late = endpointNumber(3);
    await host.put(workloadEndpoint(late));
    await host.until(async () => (await host.statusOf(late)) === '{"status":"down"}', 'down');
    let plugged = await host.plug(late);
    await host.untilPasses(one, plugged, udp(7000));
    await host.until(async () => (await host.statusOf(late)) === '{"status":"up"}', 'up');
    await host.unplug(late);
    await host.until(async () => (await host.statusOf(late)) === '{"status":"down"}', 'down again');
    plugged = await host.plug(late);
    await host.untilPasses(plugged, one, udp(7000));
  });
});

describe('what is there at other times', () => {
  test('before etcd is heard of, every tap is closed, and stays so however long', async () => {
    await host.etcdProcess.kill();
    await host.exec('sysctl', '-q', '-w', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
    for (const each of [one, two]) for (const address of each.addresses) await host.exec('ip', 'route', 'add', address, 'dev', tapOf(each));
    for (const each of [one, two]) for (const address of each.addresses) await host.exec('ip', 'neigh', 'add', address, 'lladdr', each.mac, 'dev', tapOf(each));
    await host.untilPasses(one, two, udp(7000)); // the kernel forwards without the agent
    host.startAgent();
    await host.untilSaid('etcd is away');
    for (const family of [4, 6] as const) expect(await host.passes(one, two, udp(7000), family)).toBe(false);
    await host.etcdProcess.restart();
    await host.put(open, workloadEndpoint(one), workloadEndpoint(two));
    await host.untilPasses(one, two, udp(7000));
  });

  test('a restart changes nothing in the kernel that was right, and puts right what was not', async () => {
    await running();
    await host.stopAgent('SIGKILL');
    const ruleset = await host.exec('nft', '-a', 'list', 'ruleset');
    const routes = await host.exec('ip', 'route');
    await host.exec('nft', 'add', 'element', 'inet', 'calico-felix', 'workload-interfaces', '{ "tapstranger" }');
    await host.exec('ip', 'route', 'add', '10.65.0.77/32', 'dev', tapOf(one), 'proto', '3', 'metric', '1024');
    await host.delete(workloadEndpoint(two).key);
    await host.put(workloadEndpoint(two));
    host.output = '';
    host.startAgent();
    await host.untilProgrammed();
    // The connections of the address that had been in the way are cut. The table has the address until then.
    await host.until(async () => !(await host.exec('nft', 'list', 'ruleset')).includes('10.65.0.77'), 'the address to be cut');
    expect(await host.exec('nft', '-a', 'list', 'ruleset')).toBe(ruleset);
    expect(await host.exec('ip', 'route')).toBe(routes);
  });

  test('a pause (datastoreReady: false) freezes the kernel, and its end brings what changed meanwhile', async () => {
    await running();
    await host.put(clusterInformation({ datastoreReady: false }));
    await host.untilSaid('the datastore is not ready');
    await host.put(securityGroup('open', [{ action: 'Allow', protocol: 17, destination: { ports: [7001] } }]));
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await host.passes(one, two, udp(7000))).toBe(true);
    expect(await host.passes(one, two, udp(7001))).toBe(false);
    await host.put(clusterInformation());
    await host.untilPasses(one, two, udp(7001));
    await host.untilPasses(one, two, udp(7000), false);
  });

  test('etcd killed and back: packets pass all the time, and later changes arrive', async () => {
    await running();
    await host.etcdProcess.kill();
    for (let count = 0; count < 10; count += 1) expect(await host.passes(one, two, udp(7000))).toBe(true);
    await host.unplug(two); // its status cannot be written, which holds up nothing
    two = await host.plug(endpointNumber(2));
    await host.untilPasses(one, two, udp(7000));
    await host.etcdProcess.restart();
    await host.put(securityGroup('open', []));
    await host.untilPasses(one, two, udp(7000), false);
  });

  test('what somebody takes away or adds is put right at once', async () => {
    await running();
    await host.exec('ip', 'route', 'del', two.addresses[0]!, 'dev', tapOf(two));
    await host.untilPasses(one, two, udp(7000));
    const ruleset = await host.exec('nft', 'list', 'ruleset');
    await host.exec('nft', 'flush', 'chain', 'inet', 'calico-felix', 'filter-forward');
    await host.until(async () => (await host.exec('nft', 'list', 'ruleset')) === ruleset, 'the rules to come back');
    await host.exec('nft', 'delete', 'table', 'inet', 'calico-felix');
    await host.until(async () => (await host.exec('nft', 'list', 'ruleset')).includes('filter-forward'), 'the table to come back');
    await host.untilPasses(one, two, udp(7000));
    expect(await host.passes(one, two, udp(7001))).toBe(false);
  });

  test('connections of an address that has left are cut', async () => {
    await running();
    const conntrack = inNamespace(host.name, openConntrack);
    try {
      const flows = async (): Promise<number> => (await conntrack.flows()).filter(({ original }) => original.destination === two.addresses[0]).length;
      expect(await flows()).toBeGreaterThan(0);
      await host.delete(workloadEndpoint(two).key);
      await host.until(async () => (await flows()) === 0, 'the connections to go');
    } finally {
      conntrack.close();
    }
  });

  test('whoever gets an address sends nothing in its former holder’s connections, not even before these are cut', async () => {
    await running();
    const heir = await host.plug({ ...endpointNumber(3, ['closed']), addresses: two.addresses });
    const connection = { ...udp(7000), sourcePort: 555 };
    const answer = { protocol: 17, sourcePort: 7000, destinationPort: 555 };
    expect([await host.passes(one, two, connection), await host.passes(two, one, answer)]).toEqual([true, true]);
    await host.put(securityGroup('closed', [], []));
    const { key, value } = workloadEndpoint(heir);
    const moving = host.etcd.transact([], [{ delete: workloadEndpoint(two).key }, { put: key, value }]);
    const sent: number[] = [];
    await host.until(async () => {
      for (let count = 0; count < 20; count += 1) {
        sent.push(host.send(heir, one, answer));
        await new Promise(setImmediate);
      }
      host.readArrivals();
      return (await host.statusOf(heir)) === '{"status":"up"}';
    }, 'the heir');
    await moving;
    host.readArrivals();
    expect(sent.filter((probe) => host.arrivalOf(probe) !== undefined)).toEqual([]);
  });
  test('an address that changed hands while the agent was away: its connections do not reach the new owner, also where nothing of the old one is left', async () => {
    await running();
    const connection = { ...udp(7000), sourcePort: 555 };
    const answer = { protocol: 17, sourcePort: 7000, destinationPort: 555 };
    expect([await host.passes(one, two, connection), await host.passes(two, one, answer)]).toEqual([true, true]);
    await host.stopAgent('SIGKILL');
    await host.unplug(two);
    await host.delete(workloadEndpoint(two).key);
    const heir = await host.plug({ ...endpointNumber(3, ['closed']), addresses: two.addresses });
    const other = await host.plug(endpointNumber(4));
    await host.put(securityGroup('closed', [], []), workloadEndpoint(heir), workloadEndpoint(other));
    host.startAgent();
    await host.untilPasses(one, other, udp(7000));
    await host.until(async () => (await host.statusOf(heir)) === '{"status":"up"}', 'the heir');
    expect([await host.passes(one, heir, connection), await host.passes(heir, one, answer)]).toEqual([false, false]);
  });

  test('values that are not understood stop neither the agent nor the others, and are named in its log', async () => {
    await running();
    await host.put(
      { key: workloadEndpoint(endpointNumber(4)).key, value: '{"spec":' },
      { key: workloadEndpoint(endpointNumber(5)).key, value: 'null' },
      { key: securityGroup('bad', []).key, value: '{"spec":{"selector":"has(","ingress":7}}' },
      { ...felixConfiguration({ interfacePrefix: 7, mtu: { a: 1 } }, 'node.other') },
    );
    await host.put(securityGroup('open', [{ action: 'Allow', protocol: 17, destination: { ports: [7001] } }]));
    await host.untilPasses(one, two, udp(7001));
    await host.untilSaid(workloadEndpoint(endpointNumber(4)).key);
    await host.untilSaid(securityGroup('bad', []).key);
  });
});

describe('settings', () => {
  /** The answer of the agent at a port of the host's loopback; undefined when nothing listens there. */
  async function page(port: number, path: string): Promise<{ readonly status: number; readonly text: string } | undefined> {
    const relay = await relayInto(host.name, port);
    try {
      const response = await fetch(`http://127.0.0.1:${relay.port}${path}`, { headers: { connection: 'close' } });
      return { status: response.status, text: await response.text() };
    } catch {
      return undefined;
    } finally {
      relay.close();
    }
  }
  const untilPage = (port: number, path: string, wanted: number | undefined): Promise<void> =>
    host.until(async () => (await page(port, path))?.status === wanted, `port ${port}${path} to say ${wanted}`);
  const forwarding = async (): Promise<string> => (await host.exec('sysctl', '-n', 'net.ipv4.ip_forward')).trim();
  /** Checks that a later change takes effect, so that the agent has not ended. */
  async function untilChangeArrives(port: number): Promise<void> {
    await host.put(securityGroup('open', [{ action: 'Allow', protocol: 17, destination: { ports: [port] } }]));
    await host.untilPasses(one, two, udp(port));
    expect(host.agent!.exitCode).toBeNull();
  }

  test.each<[string, object, () => Promise<void>]>([
    [
      'health',
      { healthEnabled: true, healthHost: '127.0.0.1', healthPort: 9098 },
      async () => {
        await untilPage(9098, '/readiness', 200);
        await host.put(felixConfiguration({ healthEnabled: true, healthHost: '127.0.0.1', healthPort: 9097 }));
        await untilPage(9097, '/readiness', 200);
        await untilPage(9098, '/readiness', undefined);
      },
    ],
    [
      'metrics',
      { prometheusMetricsEnabled: true, prometheusMetricsHost: '127.0.0.1' },
      async () => {
        await untilPage(9091, '/metrics', 200);
        await host.put(felixConfiguration());
        await untilPage(9091, '/metrics', undefined);
      },
    ],
    [
      'forwarding',
      { ipForwarding: 'Disabled' },
      async () => {
        expect(await forwarding()).toBe('0');
        await host.put(felixConfiguration());
        await host.until(async () => (await forwarding()) === '1', 'forwarding to be switched on');
      },
    ],
    [
      'the log’s severities',
      { logSeverityScreen: 'Debug', logSeverityFile: 'Warning' },
      async () => {
        await host.delete(workloadEndpoint(two).key);
        await host.untilSaid('connections cut'); // a line of severity DEBUG
        await host.put(workloadEndpoint(two));
      },
    ],
    [
      'the region',
      { openstackRegion: 'r1' },
      async () => {
        const lives = async (region: string): Promise<boolean> => (await host.etcd.get(felixStatusKey(region, 'host0'))).found !== undefined;
        await host.until(() => lives('r1'), 'the heartbeat in the region');
        const ended = once(host.agent!, 'exit');
        await host.put(felixConfiguration({ openstackRegion: 'r2' }));
        expect(await ended).toEqual([129, null]);
        host.startAgent(undefined, { FELIX_LOGSEVERITYSCREEN: '' });
        await host.until(() => lives('r2'), 'the heartbeat in the other region');
      },
    ],
  ])('%s: what the datastore says counts at the start, without another one, and a change is followed', async (_, spec, look) => {
    await host.exec('sysctl', '-q', '-w', 'net.ipv4.ip_forward=0');
    for (const region of ['r1', 'r2']) await host.grantIn(region);
    await host.put(felixConfiguration(spec));
    await running({ FELIX_LOGSEVERITYSCREEN: '' });
    await untilChangeArrives(7001);
    await look();
    await untilChangeArrives(7002);
  });

  test('health that is switched on locally is shown while etcd is away, and says so; and while the kernel refuses rules', async () => {
    await host.etcdProcess.kill();
    host.startAgent(undefined, { FELIX_HEALTHENABLED: 'true', FELIX_HEALTHHOST: '127.0.0.1' });
    await host.untilSaid('etcd is away');
    await untilPage(9099, '/liveness', 200);
    const readiness = await page(9099, '/readiness');
    expect(readiness?.status).toBe(503);
    expect(readiness?.text).toContain('ETCD_UNAVAILABLE');
    await host.etcdProcess.restart();
    await untilPage(9099, '/readiness', 200);
    await host.put(clusterInformation({ datastoreReady: false })); // an operator pauses all agents
    await untilPage(9099, '/readiness', 503);
    await untilPage(9099, '/liveness', 200);
    await host.put(clusterInformation());
    await untilPage(9099, '/readiness', 200);
    const owner = spawn('ip', ['netns', 'exec', host.name, 'nft', '-i'], { stdio: ['pipe', 'ignore', 'ignore'] });
    try {
      owner.stdin.write('delete table inet calico-felix; add table inet calico-felix { flags owner; }\n'); // now the kernel refuses every change of our rules
      await host.until(async () => {
        const { status, text } = (await page(9099, '/readiness')) ?? {};
        return status === 503 && text!.includes('another process owns the table');
      }, 'the refusal to be shown');
      await untilPage(9099, '/liveness', 200);
    } finally {
      owner.stdin.end(); // nft ends, and its table with it
    }
    await untilPage(9099, '/readiness', 200);
  });

  test('without Ipv6Support everything of IPv6 from and to workloads is dropped, on the way to the host too', async () => {
    await running();
    await host.put(securityGroup('open', [{ action: 'Allow' }]));
    const solicitation = { protocol: 58, icmp: { type: 135, code: 0 }, source: linkLocalOf(one.mac) };
    const arrived = async (): Promise<number> => Number(/^Icmp6InType135\s+(\d+)/m.exec(await host.exec('cat', '/proc/net/snmp6'))?.[1] ?? 0);
    const solicits = async (): Promise<boolean> => {
      const before = await arrived();
      for (let count = 0; count < 3; count += 1) host.send(one, { addresses: [linkLocalOf(one.gatewayMac)] }, solicitation, 6);
      await host.untilPasses(one, two, udp(7000)); // this packet came later on the same wire
      return (await arrived()) >= before + 3;
    };
    await host.until(() => host.passes(one, two, udp(7000), 6), 'IPv6');
    await host.until(solicits, 'solicitations, which the kernel takes in once it knows that nobody else has the address of the tap');
    await host.put(felixConfiguration({ ipv6Support: false }));
    await host.until(async () => !(await host.passes(one, two, udp(7000), 6)), 'no IPv6');
    expect(await solicits()).toBe(false);
    expect(await host.passes(one, two, udp(7000))).toBe(true);
    await host.put(felixConfiguration());
    await host.until(() => host.passes(one, two, udp(7000), 6), 'IPv6 again');
  });

  test('a FelixConfiguration that breaks, goes, or names other interfaces leaves every tap policed', async () => {
    await running({ FELIX_INTERFACEPREFIX: '' });
    async function policed(port: number): Promise<void> {
      await untilChangeArrives(port);
      expect(await host.passes(one, two, udp(7999))).toBe(false);
      expect(await host.passes(one, two, { ...udp(port), source: '10.65.0.99' })).toBe(false);
    }
    const { key } = felixConfiguration();
    await host.put({ key, value: '{"spec":{"interfacePrefix":"tap"' });
    await policed(7001);
    await host.untilSaid('the last one that could be read stays in force');
    expect(host.output.match(/the last one that could be read stays in force/g)).toHaveLength(1);
    await host.put(felixConfiguration({ interfacePrefix: 'qvo' }));
    await policed(7002);
    await host.put(felixConfiguration({ interfacePrefix: null }));
    await policed(7003);
    await host.delete(key);
    await policed(7004);
    await host.put({ key, value: '{' });
    await host.stopAgent('SIGKILL');
    host.startAgent(undefined, { FELIX_INTERFACEPREFIX: '' });
    await policed(7005);
  });
});

describe('reports', () => {
  const setLink = (which: TestEndpoint, state: 'up' | 'down'): Promise<string> => host.exec('ip', 'link', 'set', tapOf(which), state);
  const untilStatus = (which: TestEndpoint, status: 'up' | 'down'): Promise<void> =>
    host.until(async () => (await host.statusOf(which)) === `{"status":"${status}"}`, `${status}, of ${which.id}`);

  test('after etcd was emptied and filled again, everything is reported again, and so is what changes then', async () => {
    const configuration = felixConfiguration({ reportingInterval: '1s' });
    await host.put(configuration);
    for (let count = 0; count < 100; count += 1) await host.put({ key: '/elsewhere', value: String(count) }); // the new etcd's revisions are below the old one's
    await running();
    for (const each of [one, two]) await untilStatus(each, 'up');
    await host.emptyEtcd();
    await host.put(clusterInformation(), configuration, open, workloadEndpoint(one), workloadEndpoint(two));
    for (const each of [one, two]) await untilStatus(each, 'up');
    await host.until(async () => (await host.etcd.get(felixStatusKey(undefined, 'host0'))).found !== undefined, 'the heartbeat');
    await setLink(one, 'down');
    await untilStatus(one, 'down');
    await setLink(one, 'up');
    await untilStatus(one, 'up');
  });

  test('after etcd was restored from a backup, what was reported since is reported again, and what came back of the dead goes', async () => {
    const three = await host.plug(endpointNumber(3));
    await host.put(workloadEndpoint(three));
    await running();
    for (const each of [one, two, three]) await untilStatus(each, 'up');
    await host.etcdProcess.kill();
    host.etcdProcess.backUp();
    await host.etcdProcess.restart();
    await host.delete(workloadEndpoint(three).key);
    await host.until(async () => (await host.statusOf(three)) === undefined, 'the status to go');
    await setLink(one, 'down');
    await untilStatus(one, 'down');
    await host.restoreEtcd();
    await host.delete(workloadEndpoint(three).key);
    await untilStatus(one, 'down');
    await host.until(async () => (await host.statusOf(three)) === undefined, 'the status to go again');
    await setLink(one, 'up');
    await untilStatus(one, 'up');
    await setLink(two, 'down');
    await untilStatus(two, 'down');
  });

  test('the agent lives, and a second life says so', async () => {
    await running();
    const heartbeat = async () => (await host.etcd.get(felixStatusKey(undefined, 'host0'))).found;
    let first: Awaited<ReturnType<typeof heartbeat>>;
    await host.until(async () => {
      first = await heartbeat();
      return first !== undefined;
    }, 'the heartbeat');
    expect(JSON.parse(new TextDecoder().decode(first!.value))).toMatchObject({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) as string,
      first_update: true,
      uptime: expect.any(Number) as number,
    });
    expect(first!.lease).not.toBe('0');
  });

  test('what is left of endpoints that are gone goes; other hosts’ keys stay; a key that somebody deleted comes back', async () => {
    const stale = endpointStatusKey(undefined, { host: 'host0', orchestrator: 'openstack', workload: 'openstack/old', endpoint: 'old' });
    const others = endpointStatusKey(undefined, { host: 'host1', orchestrator: 'openstack', workload: 'openstack/old', endpoint: 'old' });
    await host.put({ key: stale, value: '{"status":"up"}' }, { key: others, value: '{"status":"up"}' });
    await running();
    await host.until(async () => (await host.etcd.get(stale)).found === undefined && (await host.statusOf(one)) !== undefined, 'the stale key to go');
    expect((await host.etcd.get(others)).found).toBeDefined();
    await host.delete(endpointStatusKey(undefined, { host: 'host0', orchestrator: 'openstack', workload: `openstack/${deviceId(one)}`, endpoint: one.id }));
    await host.until(async () => (await host.statusOf(one)) === '{"status":"up"}', 'the key to come back');
  });

  test('SIGTERM ends the agent with 0, and the kernel stays', async () => {
    await running();
    expect(await host.stopAgent('SIGTERM')).toBe(0);
    expect(await host.passes(one, two, udp(7000))).toBe(true);
  });
});
