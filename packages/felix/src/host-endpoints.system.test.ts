// Host endpoints on a real kernel under the whole agent: what reaches the host's own sockets, what the host may send, and what passes through it.
import { addressBytes, type IpAddress } from '@calico-openstack/addresses';
import { hostEndpointStatusKey } from '@calico-openstack/datamodel';
import { parseFrame } from '@calico-openstack/kernel/testing/frames';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Plugged, run, TestHost } from './testing/host.ts';
import { endpointNumber, felixConfiguration, type KeyedValue, resource, securityGroup, workloadEndpoint } from './testing/resources.ts';

const [TCP, UDP] = [6, 17];
const SYN = 2;
const ofHost = ['192.0.2.1', '2001:db8:2::1'];
const outside = ['192.0.2.2', '2001:db8:2::2'];
const floating = '203.0.113.11';

let host: TestHost;
let workload: Plugged;
/** Somebody outside, behind the host's interface. */
let stranger: Plugged;

const hostEndpoint = (name: string, spec: object = {}): KeyedValue =>
  resource('HostEndpoint', `hostendpoints/${name}`, { node: 'host0', ...spec }, { labels: { hep: name } });
const policy = (name: string, spec: object): KeyedValue => resource('GlobalNetworkPolicy', `globalnetworkpolicies/${name}`, { selector: 'has(hep)', ...spec });
const tcp = (port: number, action = 'Allow', side: object = {}): object => ({ action, protocol: 'TCP', destination: { ports: [port], ...side } });

beforeAll(async () => {
  host = await TestHost.open();
  workload = await host.plug(endpointNumber(1));
  await host.exec('ip', 'link', 'add', 'eth0', 'up', 'type', 'veth', 'peer', 'name', 'fabric', 'netns', host.workloadsName);
  await run('ip', ['-n', host.workloadsName, 'link', 'set', 'fabric', 'up']);
  const [fabric] = JSON.parse((await run('ip', ['-n', host.workloadsName, '-j', 'link', 'show', 'fabric'])).stdout) as [{ ifindex: number; address: string }];
  for (const address of ofHost)
    await host.exec('ip', 'address', 'add', `${address}/${address.includes(':') ? 64 : 24}`, 'dev', 'eth0', ...(address.includes(':') ? ['nodad'] : []));
  for (const address of outside) await host.exec('ip', 'neigh', 'add', address, 'lladdr', fabric.address, 'dev', 'eth0', 'nud', 'permanent');
  const link = await host.link('eth0', (each) => each?.mac !== undefined);
  stranger = { host: 'outside', id: 'stranger', mac: fabric.address, addresses: outside, interfaceIndex: fabric.ifindex, gatewayMac: link!.mac! };
  await host.put(
    securityGroup('open', [{ action: 'Allow' }]),
    workloadEndpoint({ ...workload, spec: { ipNATs: [{ internalIP: workload.addresses[0], externalIP: floating }] } }),
  );
  host.startAgent();
  await host.untilProgrammed();
});
afterAll(() => host.close());

const statusOf = async (name: string): Promise<string | undefined> => {
  const { found } = await host.etcd.get(hostEndpointStatusKey('host0', name));
  return found && (JSON.parse(new TextDecoder().decode(found.value)) as { status: string }).status;
};

const untilStatuses = (wanted: Readonly<Record<string, string>>): Promise<void> =>
  host.until(
    async () => (await Promise.all(Object.entries(wanted).map(async ([name, status]) => (await statusOf(name)) === status))).every(Boolean),
    `the statuses ${JSON.stringify(wanted)}`,
  );

let held: readonly string[] = [];
let marks = 0;
/** Makes these the only host endpoints and policies. Resolves when the agent has programmed them: the status of a host endpoint that names nothing comes with the last of them. */
async function become(...values: readonly KeyedValue[]): Promise<void> {
  const mark = `mark-${++marks}`;
  const all = [...values, hostEndpoint(mark, { interfaceName: 'nosuch' })];
  const gone = held.filter((key) => !all.some((each) => each.key === key)).map((key) => ({ delete: key }));
  await host.etcd.transact([], [...gone, ...all.map(({ key, value }) => ({ put: key, value }))]);
  held = all.map(({ key }) => key);
  await host.until(async () => (await statusOf(mark)) === 'error', 'the agent to reach this state');
}
beforeEach(() => become());

const answers = new Set<string>();
const isV6 = (address: string): boolean => address.includes(':');
/** Asks the host for a connection. The host has no such service, and resets it. Returns what the answer will be known by. */
function knock(port: number, address = ofHost[0]!, sourcePort?: number): string {
  const probe = host.send(
    stranger,
    { addresses: [address] },
    { protocol: TCP, destinationPort: port, tcpFlags: SYN, ...(sourcePort && { sourcePort }) },
    isV6(address) ? 6 : 4,
  );
  return `${address} ${port} ${sourcePort ?? TestHost.sourcePortOf(probe)}`;
}

function listen(): void {
  for (const { frame, interfaceIndex } of host.readArrivals()) {
    const packet = interfaceIndex === stranger.interfaceIndex ? parseFrame(frame) : undefined;
    const source = packet?.protocol === TCP && ofHost.find((address) => Buffer.compare(addressBytes(address as IpAddress), packet.source) === 0);
    if (source) answers.add(`${source} ${packet.sourcePort} ${packet.destinationPort}`);
  }
}

const untilAnswered = (...knocks: readonly string[]) =>
  host.until(() => {
    listen();
    return knocks.every((each) => answers.has(each));
  }, 'answers');

/**
 * Resolves with the ports among these at which the host answers, once it has answered at the expected ones. Port 22, a failsafe port, is asked last: an answer that comes later than that one, as
 * on a busy machine, is not waited for.
 */
async function open(ports: readonly number[], expected: readonly number[] = [], address = ofHost[0]!): Promise<number[]> {
  const knocks = ports.map((port) => [port, knock(port, address)] as const);
  await untilAnswered(...knocks.filter(([port]) => expected.includes(port)).map(([, each]) => each), knock(22, address));
  return knocks.filter(([, each]) => answers.has(each)).map(([port]) => port);
}

/** The UDP ports of these that the host itself can send to. */
async function sendable(ports: readonly number[], address = outside[0]!): Promise<number[]> {
  const tried = ports.map((port) => `(echo x > /dev/udp/${address}/${port}) 2>/dev/null && echo ${port}`);
  return (await host.exec('bash', '-c', `${tried.join('; ')}; true`)).split('\n').filter(Boolean).map(Number);
}

describe('the host’s own sockets', () => {
  test('without a host endpoint everything is open; with one that no policy governs, only the failsafe ports', async () => {
    expect([await open([80, 179], [80, 179]), await sendable([53, 5353])]).toEqual([
      [80, 179],
      [53, 5353],
    ]);
    await become(hostEndpoint('eth0', { interfaceName: 'eth0' }));
    await untilStatuses({ eth0: 'up' });
    for (const family of [0, 1]) expect([await open([80, 179], [179], ofHost[family]), await sendable([53, 5353], outside[family])]).toEqual([[179], [53]]);
  });

  test('policies open what they allow, and answers pass', async () => {
    await become(
      hostEndpoint('eth0', { interfaceName: 'eth0' }),
      policy('in', { ingress: [tcp(80)], egress: [{ action: 'Allow', protocol: 'UDP', destination: { ports: [5353] } }], types: ['Ingress', 'Egress'] }),
    );
    expect([await open([80, 81], [80]), await sendable([5353, 5354])]).toEqual([[80], [5353]]);
  });

  test('a host endpoint without a name follows its address; the first by name governs; `*` governs the rest', async () => {
    const named = hostEndpoint('b', { interfaceName: 'eth0' });
    await become(named, hostEndpoint('a', { expectedIPs: ['198.51.100.7'] }), policy('open', { selector: "hep == 'a'", ingress: [tcp(80)] }));
    await untilStatuses({ a: 'error', b: 'up' });
    expect(await open([80])).toEqual([]);
    await host.exec('ip', 'address', 'add', '198.51.100.7/32', 'dev', 'eth0');
    await untilStatuses({ a: 'up', b: 'error' });
    expect(await open([80], [80])).toEqual([80]);
    await host.exec('ip', 'address', 'delete', '198.51.100.7/32', 'dev', 'eth0');
    await untilStatuses({ a: 'error', b: 'up' });
    expect(await open([80])).toEqual([]);
    await become(hostEndpoint('any', { interfaceName: '*' }));
    await untilStatuses({ any: 'up' });
    expect(await open([80])).toEqual([]);
  });

  test('failsafe ports are those of the configuration, and may be for a net alone', async () => {
    await become(hostEndpoint('eth0', { interfaceName: 'eth0' }));
    await host.put(
      felixConfiguration({
        failsafeInboundHostPorts: [
          { protocol: 'tcp', port: 22 },
          { protocol: 'tcp', port: 80, net: '192.0.2.0/25' },
          { protocol: 'tcp', port: 81, net: '192.0.2.128/25' },
        ],
      }),
    );
    await host.until(async () => (await open([80])).length > 0, 'the configuration');
    expect(await open([80, 81, 179], [80])).toEqual([80]);
    await host.put(felixConfiguration());
    await host.until(async () => (await open([179])).length > 0, 'the configuration');
  });
});

describe('what passes through the host', () => {
  const untilPassing = (port: number, passes: boolean) => host.untilPasses(stranger, workload, { protocol: UDP, destinationPort: port }, passes);
  test('is governed by policies that apply on forward alone, in both directions', async () => {
    const udp = (port: number): object => ({ action: 'Allow', protocol: 'UDP', destination: { ports: [port] } });
    await become(hostEndpoint('eth0', { interfaceName: 'eth0' }), policy('local', { ingress: [], egress: [], types: ['Ingress', 'Egress'] }));
    await untilPassing(7000, true);
    await become(
      hostEndpoint('eth0', { interfaceName: 'eth0' }),
      policy('through', { applyOnForward: true, ingress: [udp(7001)], egress: [udp(7002)], types: ['Ingress', 'Egress'] }),
    );
    await untilPassing(7001, true);
    await untilPassing(7000, false);
    await host.untilPasses(workload, stranger, { protocol: UDP, destinationPort: 7002 });
    await host.untilPasses(workload, stranger, { protocol: UDP, destinationPort: 7001 }, false);
  });

  test('is judged before NAT by policies before DNAT, which see the floating IP', async () => {
    const toFloating = { ...workload, addresses: [floating] };
    const probe = { protocol: UDP, destinationPort: 7000 };
    await become(hostEndpoint('eth0', { interfaceName: 'eth0' }));
    await host.untilPasses(stranger, toFloating, probe);
    await become(
      hostEndpoint('eth0', { interfaceName: 'eth0' }),
      policy('early', { preDNAT: true, applyOnForward: true, types: ['Ingress'], ingress: [{ action: 'Deny', destination: { nets: [`${floating}/32`] } }] }),
    );
    await host.untilPasses(stranger, toFloating, probe, false);
    await host.untilPasses(stranger, workload, probe);
  });

  test('without connection tracking, answers need a rule of their own', async () => {
    const untracked = (egress: object[]): KeyedValue =>
      policy('untracked', { doNotTrack: true, applyOnForward: true, ingress: [tcp(80)], egress, types: ['Ingress', 'Egress'] });
    await become(hostEndpoint('eth0', { interfaceName: 'eth0' }), untracked([]));
    expect(await open([80])).toEqual([]);
    await become(hostEndpoint('eth0', { interfaceName: 'eth0' }), untracked([{ action: 'Allow', protocol: 'TCP', source: { ports: [80] } }]));
    expect(await open([80, 81], [80])).toEqual([80]);
  });
});

test('with REJECT, the kernel takes the policies of every place', async () => {
  await host.put(felixConfiguration({ nftablesFilterDenyAction: 'REJECT' }));
  const place = (name: string, use: object): KeyedValue =>
    policy(name, {
      ...use,
      ingress: [tcp(80, 'Deny')],
      ...('preDNAT' in use ? { types: ['Ingress'] } : { egress: [tcp(80, 'Deny')], types: ['Ingress', 'Egress'] }),
    });
  await become(
    hostEndpoint('eth0', { interfaceName: 'eth0' }),
    place('local', {}),
    place('through', { applyOnForward: true }),
    place('before', { preDNAT: true, applyOnForward: true }),
    place('untracked', { doNotTrack: true, applyOnForward: true }),
  );
  expect(await open([80, 179], [179])).toEqual([179]);
  const rules = await host.exec('nft', 'list', 'table', 'inet', 'calico-felix');
  expect(rules.match(/tcp dport 80 reject/g)).toHaveLength(7);
  await host.put(felixConfiguration());
});

test('while everything changes at once, a failsafe port always answers and a port that every state denies never does', async () => {
  const eth0 = hostEndpoint('eth0', { interfaceName: 'eth0' });
  const states: readonly (readonly KeyedValue[])[] = [
    [eth0],
    [eth0, hostEndpoint('any', { interfaceName: '*' }), policy('a', { ingress: [tcp(80)] })],
    [eth0, policy('a', { ingress: [tcp(80), { action: 'Deny' }], order: 1 }), policy('b', { ingress: [tcp(81)], order: 2 })],
    [
      eth0,
      policy('early', {
        doNotTrack: true,
        applyOnForward: true,
        ingress: [tcp(9999, 'Deny'), tcp(22, 'Deny')],
        egress: [{ action: 'Deny' }],
        types: ['Ingress', 'Egress'],
      }),
    ],
    [eth0, policy('before', { preDNAT: true, applyOnForward: true, types: ['Ingress'], ingress: [{ action: 'Deny' }] })],
    [hostEndpoint('another', { expectedIPs: [ofHost[0]] }), eth0, policy('through', { applyOnForward: true, ingress: [tcp(82)] })],
  ];
  await become(eth0);
  const [safe, closed]: [string[], string[]] = [[], []];
  let done = false;
  const changing = (async () => {
    try {
      for (let round = 0; round < 30; round += 1) await become(...states[(round * 5 + (round >> 2)) % states.length]!);
    } finally {
      done = true;
    }
  })();
  let sourcePort = 10_000;
  while (!done) {
    safe.push(knock(22, ofHost[0], ++sourcePort), knock(22, ofHost[1], sourcePort));
    closed.push(knock(9999, ofHost[0], sourcePort), knock(9999, ofHost[1], sourcePort));
    await new Promise((resolve) => setTimeout(resolve, 1));
    listen();
  }
  await changing;
  await untilAnswered(...safe).catch(() => undefined);
  expect(safe.filter((each) => !answers.has(each))).toEqual([]);
  expect(closed.filter((each) => answers.has(each))).toEqual([]);
  expect(safe.length).toBeGreaterThan(30);
});
