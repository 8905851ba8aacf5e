// A change that takes permission away ends connections. With packets on a real kernel.
import { type Conntrack, inNamespace, openConntrack } from '@calico-openstack/kernel';
import { trackFlows, udpFlow } from '@calico-openstack/kernel/conntrack/testing/flows';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Plugged, type Probe, TestHost } from '../testing/host.ts';
import { endpointNumber, felixConfiguration, securityGroup, workloadEndpoint } from '../testing/resources.ts';

let host: TestHost;
let conntrack: Conntrack;
let [one, two]: [Plugged, Plugged] = [] as never;

beforeEach(async () => {
  host = await TestHost.open();
  [one, two] = [await host.plug(endpointNumber(1, ['friends'])), await host.plug(endpointNumber(2))];
  conntrack = inNamespace(host.name, openConntrack);
});
afterEach(async () => {
  conntrack.close();
  await host.close();
});

const allowAll = [
  { action: 'Allow', ipVersion: 4 },
  { action: 'Allow', ipVersion: 6 },
];
const fromFriends = { selector: 'has(sg.projectcalico.org/openstack-friends)' };
const [friends, strangers] = [securityGroup('friends', []), securityGroup('strangers', [])];
const open = securityGroup('open', allowAll);

async function running(...policies: readonly ReturnType<typeof securityGroup>[]): Promise<void> {
  await host.put(friends, strangers, ...policies, ...[one, two].map(workloadEndpoint));
  host.startAgent();
  await host.untilProgrammed();
  await host.untilUp(one, two);
}

type Connection = { readonly what: string; readonly asks: Probe; readonly answers: Probe };
const [SYN, SYN_ACK, ACK] = [0x02, 0x12, 0x10];
const connections = (port: number): Connection[] => [
  { what: 'UDP', asks: { protocol: 17, sourcePort: port, destinationPort: 7000 }, answers: { protocol: 17, sourcePort: 7000, destinationPort: port } },
  {
    what: 'TCP',
    asks: { protocol: 6, sourcePort: port, destinationPort: 7000, tcpFlags: ACK },
    answers: { protocol: 6, sourcePort: 7000, destinationPort: port, tcpFlags: ACK },
  },
];

/** Opens a UDP and a TCP connection from one endpoint to another. */
async function begin(from: Plugged, to: Plugged, port: number, family: 4 | 6 = 4): Promise<void> {
  const tcp = { protocol: 6, sourcePort: port, destinationPort: 7000 };
  await host.untilPasses(from, to, { ...tcp, tcpFlags: SYN }, true, family);
  expect(await host.passes(to, from, { protocol: 6, sourcePort: 7000, destinationPort: port, tcpFlags: SYN_ACK }, family)).toBe(true);
  expect(await goesOn(from, to, port, family)).toEqual({ UDP: [true, true], TCP: [true, true] });
}

/** Whether answers pass, and then whether requests pass. The order matters, because an answer could begin a new connection. */
async function goesOn(from: Plugged, to: Plugged, port: number, family: 4 | 6 = 4): Promise<Record<string, boolean[]>> {
  const found: Record<string, boolean[]> = {};
  for (const { what, asks, answers } of connections(port)) {
    if (what === 'UDP' && !found[what]) host.send(from, to, asks, family); // both sides send all the time
    found[what] = [await host.passes(to, from, answers, family), await host.passes(from, to, asks, family)];
  }
  return found;
}
const alive = { UDP: [true, true], TCP: [true, true] };
const dead = { UDP: [false, false], TCP: [false, false] };
const untilDead = (from: Plugged, to: Plugged, port: number, family: 4 | 6 = 4): Promise<void> =>
  host.until(async () => JSON.stringify(await goesOn(from, to, port, family)) === JSON.stringify(dead), 'the connection to be cut');

describe('a connection is cut, both ways, and others go on', () => {
  test('when the rule goes that let it in', async () => {
    await running(open);
    for (const family of [4, 6] as const) await begin(one, two, 555, family);
    await host.put(securityGroup('open', [{ action: 'Allow', protocol: 'UDP', ipVersion: 4 }]));
    await untilDead(one, two, 555, 6);
    const [, { asks, answers }] = connections(555) as [Connection, Connection]; // of TCP. The families are reviewed one after the other
    await host.until(async () => !(await host.passes(two, one, answers)) && !(await host.passes(one, two, asks)), 'the connection of IPv4 to be cut');
    expect(await goesOn(one, two, 555)).toEqual({ UDP: [true, true], TCP: [false, false] });
    await host.put(open);
    await host.until(
      async () => (await host.passes(one, two, { protocol: 6, sourcePort: 555, destinationPort: 7000, tcpFlags: ACK })) === true,
      'the rule to be back',
    );
    expect(await goesOn(one, two, 555)).toEqual(alive);
  });

  test('when the rule goes that let it out', async () => {
    await running(open);
    await begin(one, two, 555);
    await host.put(securityGroup('friends', [], []));
    await untilDead(one, two, 555);
  });

  test('when the endpoint at its other end leaves the group that it was let in for, and nobody else’s', async () => {
    await running(securityGroup('open', [{ action: 'Allow', source: fromFriends }]));
    const friend = await host.plug(endpointNumber(4, ['friends']));
    await host.put(workloadEndpoint(friend));
    await host.untilUp(friend);
    await begin(one, two, 555);
    await begin(friend, two, 556);
    await host.put(workloadEndpoint({ ...one, groups: ['strangers'] }));
    await untilDead(one, two, 555);
    expect(await goesOn(friend, two, 556)).toEqual(alive);
  });

  test('when its endpoint changes groups', async () => {
    await running(open, securityGroup('closed', []));
    await begin(one, two, 555);
    await host.put(workloadEndpoint({ ...two, groups: ['closed'] }));
    await untilDead(one, two, 555);
  });

  test('when that happened while the agent was away', async () => {
    await running(open);
    await begin(one, two, 555);
    await host.stopAgent('SIGKILL');
    await host.put(securityGroup('open', []));
    host.startAgent();
    await untilDead(one, two, 555);
  });

  test('a ping too', async () => {
    await running(open);
    // The ports stand for identifier and sequence number.
    const [asks, answers] = [8, 0].map((type) => ({ protocol: 1, icmp: { type, code: 0 }, sourcePort: 77, destinationPort: 1 })) as [Probe, Probe];
    await host.untilPasses(one, two, asks);
    expect(await host.passes(two, one, answers)).toBe(true);
    await host.put(securityGroup('open', [{ action: 'Allow', protocol: 'UDP' }]));
    await host.until(async () => !(await host.passes(two, one, answers)), 'the answers to end');
    expect(await host.passes(one, two, asks)).toBe(false);
  });
});

describe('a floating IP', () => {
  const external = '10.65.9.9';
  const withFloating = (endpoint: Plugged, internal: string, more: readonly string[] = []) =>
    workloadEndpoint({
      ...endpoint,
      spec: {
        ipNetworks: [...endpoint.addresses, ...more].map((address) => `${address}/${address.includes(':') ? 128 : 32}`),
        ipNATs: [{ internalIP: internal, externalIP: external }],
      },
    });
  const asks = { ...connections(555)[0]!.asks, destination: external };

  test('a connection through it is cut when the rule goes that let it in', async () => {
    await running(open);
    await host.put(withFloating(two, two.addresses[0]!));
    await host.untilPasses(one, two, asks);
    expect(await host.passes(two, one, connections(555)[0]!.answers)).toBe(true);
    await host.put(securityGroup('open', [{ action: 'Allow', protocol: 'TCP' }]));
    await host.until(async () => !(await host.passes(two, one, connections(555)[0]!.answers)), 'the connection to be cut');
    expect(await host.passes(one, two, asks)).toBe(false);
  });

  test('that leads to another address of its endpoint takes its connections along', async () => {
    await running(open);
    await host.put(withFloating(two, two.addresses[0]!));
    await host.untilPasses(one, two, asks);
    await host.put(withFloating(two, '10.65.0.33', ['10.65.0.33']));
    const reached = async (): Promise<string> => {
      const probe = host.send(one, two, asks);
      await new Promise((resolve) => setTimeout(resolve, 50));
      host.readArrivals();
      return [...(host.arrivalOf(probe)?.frame.subarray(30, 34) ?? [])].join('.');
    };
    await host.until(async () => (await reached()) === '10.65.0.33', 'the connection to lead there');
  });
});

test('an idle connection that policy lets begin no more is forgotten, and others are not touched', async () => {
  await running(securityGroup('open', [{ action: 'Allow', protocol: 'UDP', destination: { ports: [7000, 7001] } }]));
  const flows = [7000, 7001].flatMap((port) => [1, 2, 3].map((source) => ({ ...udpFlow('192.0.2.7', two.addresses[0]!, [source, port]), mark: 0x80005 })));
  const elsewhere = { ...udpFlow('192.0.2.7', '192.0.2.8', [1, 7001]), mark: 0x80005 };
  inNamespace(host.name, () => trackFlows([...flows, elsewhere]));
  await host.put(securityGroup('open', [{ action: 'Allow', protocol: 'UDP', destination: { ports: [7000] } }]));
  const left = async () =>
    (await conntrack.flows())
      .filter(({ original }) => original.source === '192.0.2.7')
      .map(({ original, mark }) => [original.destination, original.destinationPort, mark]);
  await host.until(async () => (await left()).length === 4, 'three to go');
  expect((await left()).sort()).toEqual([...[1, 2, 3].map(() => [two.addresses[0], 7000, 0x80005]), ['192.0.2.8', 7001, 0x80005]].sort());
});

test('with EstablishedConnections Keep they go on', async () => {
  await host.put(felixConfiguration({ establishedConnections: 'Keep' }));
  await running(open);
  await begin(one, two, 555);
  await host.put(securityGroup('open', []));
  await host.untilPasses(one, two, { protocol: 17, destinationPort: 7000 }, false);
  expect(await goesOn(one, two, 555)).toEqual(alive);
});
