// QoS controls on a real kernel: what is too much is dropped, refused or waits, as packets and the kernel's own counters tell.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ifbOf } from './devices/shaping.ts';
import { type Plugged, TestHost } from './testing/host.ts';
import { leaveUpstreams } from './testing/leavings.ts';
import { endpointNumber, securityGroup, tapOf, workloadEndpoint } from './testing/resources.ts';

const [UDP, TCP] = [17, 6];
const open = securityGroup('open', [
  { action: 'Allow', protocol: UDP },
  { action: 'Allow', protocol: TCP },
]);

let host: TestHost;
let [one, two]: [Plugged, Plugged] = [] as never;
let tap: string;

beforeAll(async () => {
  host = await TestHost.open();
  one = await host.plug(endpointNumber(1));
  two = await host.plug(endpointNumber(2));
  tap = tapOf(two);
  await host.put(open, workloadEndpoint(one), workloadEndpoint(two));
  host.startAgent();
  await host.untilProgrammed();
  await host.untilPasses(one, two, { protocol: UDP, destinationPort: 7000 });
});
afterAll(() => host.close());

let limits = 0;
/** Sets the controls. Resolves when the rules for them are in force: routes come after rules, and another address of the endpoint gets one each time. */
async function limit(qosControls: object | undefined): Promise<void> {
  limits += 1;
  const address = `10.66.0.${limits}`;
  const ipNetworks = [...two.addresses, address].map((each) => `${each}/${each.includes(':') ? 128 : 32}`);
  await host.put(workloadEndpoint({ ...two, spec: { ipNetworks, ...(qosControls && { qosControls }) } }));
  await host.until(async () => (await host.exec('ip', 'route', 'show', address)) !== '', 'the controls in force');
}

const rules = () => host.exec('nft', 'list', 'table', 'inet', 'calico-felix');
/** Adds a rule that changes nothing about these packets. Resolves when it is in force. */
async function changePolicy(): Promise<void> {
  await host.put(
    securityGroup('open', [
      { action: 'Allow', protocol: UDP },
      { action: 'Allow', protocol: TCP },
      { action: 'Deny', protocol: 132 },
    ]),
  );
  await host.until(async () => (await rules()).includes('meta l4proto sctp'), 'the changed policy');
}

type Qdisc = { readonly kind: string; readonly root?: boolean; readonly backlog: number; readonly overlimits: number };
/** The root qdisc of a link; undefined when there is no link. */
async function rootOf(link: string): Promise<Qdisc | undefined> {
  const text = await host.exec('tc', '-s', '-j', 'qdisc', 'show', 'dev', link).catch(() => '[]');
  return (JSON.parse(text) as readonly Qdisc[]).find(({ root }) => root);
}
const untilKind = (link: string, kind: string | undefined) => host.until(async () => (await rootOf(link))?.kind === kind, `${link} to have ${kind ?? 'gone'}`);

/** Sends so many packets at once. Returns a function that says how many of them have arrived. */
function sendMany(count: number, from: Plugged, to: Plugged): () => number {
  const probes = Array.from({ length: count }, () => host.send(from, to, { protocol: UDP, destinationPort: 7000, sourcePort: 4000 }));
  return () => {
    host.readArrivals();
    return probes.filter((probe) => host.arrivalOf(probe)).length;
  };
}

/** How many of so many packets, sent at once, have arrived when the kernel has had time for all of them. */
async function arrivingOf(count: number, from: Plugged, to: Plugged): Promise<number> {
  const arrived = sendMany(count, from, to);
  await new Promise((resolve) => setTimeout(resolve, 150));
  return arrived();
}

/** Resolves when so many packets, sent at once, have all arrived. */
async function allArrive(count: number, from: Plugged, to: Plugged): Promise<void> {
  const arrived = sendMany(count, from, to);
  await host.until(() => arrived() === count, `all of ${count} packets to arrive`);
}

describe('bandwidth', () => {
  // The least bucket takes one packet of the largest size: 26 of the probes, each of 58 bytes. 125 bytes a second are 2 more.
  const [few, all] = [60, 100];

  test('to a workload: a burst passes, the rest waits; gone with the control', async () => {
    await host.exec('tc', 'qdisc', 'replace', 'dev', tap, 'root', 'noqueue'); // as libvirt does
    await allArrive(all, one, two);
    await limit({ ingressBandwidth: 1000, ingressBurst: 1000 });
    await untilKind(tap, 'tbf');
    const passed = await arrivingOf(all, one, two);
    expect(passed).toBeGreaterThan(0);
    expect(passed).toBeLessThan(few);
    const { backlog, overlimits } = (await rootOf(tap))!;
    expect([backlog > 0, overlimits > 0]).toEqual([true, true]);
    await allArrive(all, two, one); // the other way is free
    await limit(undefined);
    await untilKind(tap, 'noqueue');
    await allArrive(all, one, two);
  });

  test('from a workload, through an ifb that goes with the control', async () => {
    await limit({ egressBandwidth: 1000, egressBurst: 1000 });
    const ifb = ifbOf(tap);
    await host.until(async () => (await host.exec('tc', 'filter', 'show', 'dev', tap, 'ingress')).includes(ifb), 'the redirection');
    const passed = await arrivingOf(all, two, one);
    expect(passed).toBeGreaterThan(0);
    expect(passed).toBeLessThan(few);
    expect((await rootOf(ifb))!.backlog).toBeGreaterThan(0);
    await allArrive(all, one, two);
    await limit(undefined);
    await untilKind(ifb, undefined);
    expect(await host.exec('tc', 'qdisc', 'show', 'dev', tap)).not.toContain('ingress');
    await allArrive(all, two, one);
  });

  test('a limit changes while packets wait, and comes back when somebody takes it away', async () => {
    await limit({ ingressBandwidth: 1000, ingressBurst: 1000, egressBandwidth: 1_000_000 });
    await untilKind(tap, 'tbf');
    await arrivingOf(all, one, two);
    const waiting = (await rootOf(tap))!.backlog;
    expect(waiting).toBeGreaterThan(0);
    await limit({ ingressBandwidth: 1e9, egressBandwidth: 1_000_000 });
    await host.until(async () => (await rootOf(tap))!.backlog === 0, 'what waited to pass');
    await allArrive(all, one, two);
    await host.exec('tc', 'qdisc', 'del', 'dev', tap, 'root');
    await untilKind(tap, 'tbf');
    const ifb = ifbOf(tap);
    await host.exec('ip', 'link', 'del', ifb);
    await untilKind(ifb, 'tbf');
    await host.until(async () => (await arrivingOf(10, two, one)) === 10, 'packets to be led to the new ifb');
    await host.until(async () => (await host.statusOf(two)) === '{"status":"up"}', 'up');
  });

  test('an agent that starts leaves a limit as it stands', async () => {
    await limit({ ingressBandwidth: 1000, ingressBurst: 1000, egressBandwidth: 1_000_000 });
    await untilKind(tap, 'tbf');
    expect(await arrivingOf(all, one, two)).toBeLessThan(few);
    await host.stopAgent();
    const { overlimits } = (await rootOf(tap))!;
    expect(overlimits).toBeGreaterThan(0);
    host.output = '';
    host.startAgent();
    await host.untilProgrammed();
    expect((await rootOf(tap))!.overlimits).toBeGreaterThanOrEqual(overlimits); // a qdisc made anew would count from 0. What waited has passed when the start took long
  });
});

test('packets beyond the rate are dropped, also of connections that stand', async () => {
  await limit({ ingressPacketRate: 1, ingressPacketBurst: 5 });
  expect(await arrivingOf(20, one, two)).toBeLessThan(20);
  await limit({ ingressPacketRate: 1, ingressPacketBurst: 7 });
  const passed = await arrivingOf(20, one, two);
  expect([passed >= 7, passed < 12]).toEqual([true, true]);
  await limit({ ingressPacketRate: 1, ingressPacketBurst: 60 }); // a burst that takes a minute to come back
  await arrivingOf(80, one, two);
  await changePolicy();
  expect(await arrivingOf(80, one, two)).toBeLessThan(60); // what was used up stays used up
  await host.put(open);
  await limit(undefined);
  await allArrive(20, one, two);
});

test('a connection too many is reset, and what was counted stays counted when policy changes', async () => {
  await limit({ ingressMaxConnections: 2 });
  const syn = (destinationPort: number) => host.passes(one, two, { protocol: TCP, destinationPort, tcpFlags: 2 });
  expect([await syn(81), await syn(82), await syn(83)]).toEqual([true, true, false]);
  expect(await host.passes(one, two, { protocol: UDP, destinationPort: 7000 })).toBe(true);
  await changePolicy();
  expect(await syn(84)).toBe(false);
  await limit({ ingressMaxConnections: 4 });
  expect(await syn(85)).toBe(true);
});

test('values beyond all bounds hold nothing up: they take the nearest bound, or none, and the log says so', async () => {
  await limit({
    ingressBandwidth: 2 ** 63,
    egressBandwidth: -1,
    ingressPeakrate: 1000,
    ingressBurst: 0,
    egressPacketRate: 2 ** 63,
    ingressMaxConnections: 2 ** 63,
    egressBurst: -5,
  });
  await host.untilSaid('QoS controls are not in force as they are written');
  await untilKind(tap, 'tbf');
  await allArrive(20, one, two);
  await allArrive(20, two, one);
  await host.until(async () => (await host.statusOf(two)) === '{"status":"up"}', 'up');
  await host.delete(workloadEndpoint(two).key);
  await untilKind(tap, 'noqueue');
});

test('--remove takes limits away', async () => {
  await host.put(workloadEndpoint(two));
  await limit({ ingressBandwidth: 1_000_000, egressBandwidth: 1_000_000 });
  await untilKind(ifbOf(tap), 'tbf');
  await host.stopAgent();
  await leaveUpstreams(host, 'nftables'); // who polices the host in its place
  const said = await host.exec(process.execPath, new URL('./bin/calico-felix.ts', import.meta.url).pathname, '--remove');
  expect(said).toContain('limits of bandwidth on 1 interfaces');
  expect([(await rootOf(tap))?.kind, await rootOf(ifbOf(tap))]).toEqual(['noqueue', undefined]);
});
