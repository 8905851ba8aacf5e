// A guest that floods the host, beside others that need answers. Felix, the kernel and Dnsmasq are real; the guests are frames.
import { addressBytes, type IpAddress, macBytes } from '@calico-openstack/addresses';
import { arpFrame, frame } from '@calico-openstack/kernel/testing/frames';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { answerOf, discover, solicit, startDnsmasq, type TestDnsmasq } from './testing/dhcp.ts';
import { type Plugged, TestHost } from './testing/host.ts';
import { endpointNumber, felixConfiguration, resource, securityGroup, tapOf, workloadEndpoint } from './testing/resources.ts';

let host: TestHost;
let dnsmasq: TestDnsmasq | undefined;
let [loud, ...others]: Plugged[] = [];
beforeEach(async () => {
  host = await TestHost.open();
});
afterEach(async () => {
  await dnsmasq?.close();
  dnsmasq = undefined;
  await host.close();
});

/** A loud guest and three others, in etcd and in the kernel. @param spec fields of the loud one's WorkloadEndpoint */
async function running(spec: object = {}, environment: Readonly<Record<string, string>> = {}): Promise<void> {
  const endpoints = [1, 2, 3, 4].map((number) => ({ ...endpointNumber(number), ...(number === 1 && { spec }) }));
  [loud, ...others] = await Promise.all(endpoints.map((endpoint) => host.plug(endpoint)));
  await host.put(securityGroup('open', []), ...endpoints.map(workloadEndpoint));
  host.startAgent(undefined, environment);
  await host.untilProgrammed();
}

const bytes = (address: string): Uint8Array => addressBytes(address as IpAddress);
let transactions = 0;
const asked = new Map<string, { readonly guest: Plugged; answers: number }>();

function ask(guest: Plugged, family: 4 | 6, source?: string): string {
  transactions += 1;
  const name = `${family} ${transactions}`;
  asked.set(name, { guest, answers: 0 });
  host.wire.send(guest.interfaceIndex, family === 4 ? discover(guest, transactions) : solicit(guest, transactions, source));
  return name;
}

function readAnswers(): void {
  for (const { frame: received, interfaceIndex } of host.readArrivals()) {
    const question = asked.get(answerOf(received) ?? '');
    if (question?.guest.interfaceIndex === interfaceIndex) question.answers += 1;
  }
}

/** How many answers the loud guest has got so far. */
const answersToLoud = (): number => [...asked.values()].filter(({ guest }) => guest === loud).reduce((sum, { answers }) => sum + answers, 0);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function untilServed(family: 4 | 6): Promise<void> {
  await host.until(async () => {
    const names = others.map((other) => ask(other, family));
    await pause(600); // slower than their own limit, all of which they need afterwards
    readAnswers();
    return names.every((name) => asked.get(name)!.answers > 0);
  }, 'Dnsmasq to serve');
  asked.clear();
}

/** While `noise` goes on, each of the others asks ten times, with pauses, and every request must be answered. Returns the duration in seconds. */
async function othersAreServed(family: 4 | 6, noise: () => void, during: () => Promise<unknown> = async () => undefined): Promise<number> {
  const startMs = performance.now();
  const questions: string[] = [];
  const meanwhile = during();
  for (let turn = 0; turn < 100; turn++) {
    noise();
    if (turn % 10 === 0) for (const other of others) questions.push(ask(other, family));
    readAnswers();
    await pause(10);
  }
  await meanwhile;
  const allAnswered = (): boolean => {
    readAnswers();
    return questions.every((name) => asked.get(name)!.answers > 0);
  };
  await host.until(allAnswered, 'the others to be answered');
  return (performance.now() - startMs) / 1000;
}

test('10 000 DHCP questions a second from one guest: it is answered as often as its limit says, over a restart of Felix too, and the others always', async () => {
  await running();
  dnsmasq = await startDnsmasq(host, [loud!, ...others]);
  await untilServed(4);
  const seconds = await othersAreServed(
    4,
    () => {
      for (let time = 0; time < 100; time++) ask(loud!, 4);
    },
    async () => {
      await host.stopAgent('SIGKILL');
      host.output = '';
      host.startAgent();
      await host.untilProgrammed();
    },
  );
  expect(answersToLoud()).toBeGreaterThanOrEqual(20);
  expect(answersToLoud()).toBeLessThanOrEqual(20 + 2 * Math.ceil(seconds));
});

test('DHCPv6 from invented addresses, and from its own by a guest that answers no solicitation, holds up nobody', async () => {
  await running();
  dnsmasq = await startDnsmasq(host, [loud!, ...others]);
  await untilServed(6);
  const seconds = await othersAreServed(6, () => {
    ask(loud!, 6, `fe80::${(++transactions).toString(16)}`);
    ask(loud!, 6);
  });
  expect(answersToLoud()).toBeGreaterThan(0);
  expect(answersToLoud()).toBeLessThanOrEqual(20 + 2 * Math.ceil(seconds));
});

/** A neighbour solicitation for the gateway from any address, with its sender's MAC. */
function neighbourSolicitation(guest: Plugged, source: string): Uint8Array {
  const payload = Uint8Array.from([...bytes('fd65::1'), 1, 1, ...macBytes(guest.mac)]);
  const sent = frame({
    sourceMac: guest.mac,
    destinationMac: '33:33:ff:00:00:01',
    source: bytes(source),
    destination: bytes('ff02::1:ff00:1'),
    protocol: 58,
    icmp: { type: 135, code: 0 },
    payload,
  });
  sent[21] = 255; // the hop limit that neighbour discovery requires (RFC 4861, 7.1.1)
  return sent;
}

/** The neighbours that the host has learnt from the loud guest. */
async function learnt(): Promise<number> {
  const text = await host.exec('ip', '-j', 'neigh', 'show', 'dev', tapOf(loud!));
  return (JSON.parse(text) as { state: string[] }[]).filter(({ state }) => !state.includes('PERMANENT')).length;
}

function shout(source: (number: number) => string, arpSource: (number: number) => string): void {
  for (let number = 0; number < 500; number++) {
    host.wire.send(loud!.interfaceIndex, neighbourSolicitation(loud!, source(number)));
    const sender = { senderMac: loud!.mac, sender: bytes(arpSource(number)), target: bytes('10.65.0.1') };
    host.wire.send(loud!.interfaceIndex, arpFrame({ operation: 1, ...sender }));
  }
}
const hex = (number: number): string => number.toString(16);

test('a guest makes the host remember no neighbour but its own addresses, which are known beforehand', async () => {
  await running();
  dnsmasq = await startDnsmasq(host, [loud!]); // so that the gateway's address is on the tap
  shout(
    (number) => `fe80::${hex(number + 1)}`,
    (number) => `10.65.1.${number % 256}`,
  );
  await host.until(async () => (await host.exec('ip', 'neigh', 'show', 'dev', tapOf(loud!))).includes('PERMANENT'), 'its permanent neighbours');
  await pause(500);
  expect(await learnt()).toBe(0);
});

test('one that may speak for any address makes it remember a few', async () => {
  await running({ allowSpoofedSourcePrefixes: ['10.66.0.0/16', 'fd66::/64'] }, { FELIX_WORKLOADSOURCESPOOFING: 'Any' });
  dnsmasq = await startDnsmasq(host, [loud!]);
  await pause(500);
  const startMs = performance.now();
  await host.until(async () => {
    shout(
      (number) => `fd66::${hex(number + 1)}`,
      (number) => `10.66.${number >> 8}.${number & 255}`,
    );
    return (await learnt()) > 0;
  }, 'the first of them');
  await pause(500);
  const seconds = (performance.now() - startMs) / 1000;
  expect(await learnt()).toBeLessThanOrEqual(2 * (20 + 5 * Math.ceil(seconds)));
});

test('what Log rules write is bounded as the datastore says, and what is beyond the bound passes all the same', async () => {
  const log = resource('GlobalNetworkPolicy', 'globalnetworkpolicies/log', { order: 1, selector: 'all()', ingress: [{ action: 'Log' }] });
  await host.put(felixConfiguration({ logActionRateLimit: '5/second', logActionRateLimitBurst: 7 }), log);
  await running();
  await host.put(securityGroup('open', [{ action: 'Allow', protocol: 17 }]));
  await host.untilPasses(loud!, others[0]!, { protocol: 17, destinationPort: 9 });
  expect(await host.exec('nft', 'list', 'table', 'inet', 'calico-felix')).toContain('limit rate 5/second burst 7 packets log prefix "calico-packet: "');
  const sent = Array.from({ length: 50 }, () => host.send(loud!, others[0]!, { protocol: 17, destinationPort: 9 }));
  await host.until(() => {
    host.readArrivals();
    return sent.every((number) => host.arrivalOf(number) !== undefined);
  }, 'all packets to arrive');
});
