import { silentLog } from '@calico-openstack/agent';
import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { fakeLinks } from '@calico-openstack/kernel/links/fake';
import { frame } from '@calico-openstack/kernel/testing/frames';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { HostEntry } from './dnsmasq/files.ts';
import { createEarlyQuestions, readQuestion } from './early4.ts';
import { ip } from './testing/facts.ts';

const mac = 'fa:16:3e:00:00:01';
const macBytes = [0xfa, 0x16, 0x3e, 0, 0, 1];
type Some = {
  readonly type?: number;
  readonly chaddr?: readonly number[];
  readonly giaddr?: number;
  readonly destinationPort?: number;
  readonly op?: number;
  readonly options?: readonly number[];
};

function question({ type = 1, chaddr = macBytes, giaddr = 0, destinationPort = 67, op = 1, options = [53, 1, type] }: Some = {}): Uint8Array {
  const fixed = [op, 1, 6, 0, 1, 2, 3, 4, ...new Array<number>(16).fill(0), 0, 0, 0, giaddr, ...chaddr, ...new Array<number>(202).fill(0)];
  const payload = Uint8Array.from([...fixed, 0x63, 0x82, 0x53, 0x63, ...options, 255]);
  const [source, destination] = [Uint8Array.of(0, 0, 0, 0), Uint8Array.of(255, 255, 255, 255)];
  return frame({ sourceMac: mac, destinationMac: 'ff:ff:ff:ff:ff:ff', source, destination, protocol: 17, sourcePort: 68, destinationPort, payload });
}

function setUp() {
  const clock = fakeClock();
  const links = fakeLinks({ deliverBy: 'hand' });
  const index = links.kernel.add('tap1', { up: true });
  const eth0 = links.kernel.add('eth0', { up: true });
  links.kernel.deliver();
  const ports = new Map<string, HostEntry>();
  const asked: string[] = [];
  const early = createEarlyQuestions({ links, portOf: (tap) => ports.get(tap), log: silentLog(), clock }, (linkIndex, address, message) =>
    asked.push(`${linkIndex} ${address} ${message.length}`),
  );
  return {
    clock,
    links,
    early,
    asked,
    index,
    eth0,
    hear: (some: Some = {}, linkIndex = index) => early.take({ linkIndex, bytes: question(some) }),
    serve(macs = [mac]) {
      ports.set('tap1', { tap: 'tap1', macs, leases: [ip('10.65.0.11')], serverAddresses: [{ address: ip('10.65.0.1'), prefixLength: 32 }] });
      early.portsChanged();
    },
    /** Dnsmasq has the port's files, but has not read them again, or is away. */
    unserve: () => void ports.delete('tap1'),
    makeReady() {
      links.addAddress('tap1', '10.65.0.1', 32);
      links.kernel.deliver();
      early.changed('tap1');
    },
  };
}

test.each([
  { what: 'behind the requested address, as dhcpcd writes it', options: [50, 4, 10, 65, 0, 11, 53, 1, 3], isQuestion: true },
  { what: 'behind padding', options: [0, 0, 53, 1, 1], isQuestion: true },
  { what: 'twice, of which the first counts', options: [53, 1, 4, 53, 1, 1], isQuestion: false },
  { what: 'only within another option', options: [61, 3, 53, 1, 1], isQuestion: false },
  { what: 'with another length', options: [53, 2, 1, 1], isQuestion: false },
  { what: 'behind the end', options: [255, 53, 1, 1], isQuestion: false },
  { what: 'behind an option that is longer than the message', options: [50, 200, 53, 1, 1], isQuestion: false },
])('a message has its type $what', ({ options, isQuestion }) => {
  expect(readQuestion(question({ options })) !== undefined).toBe(isQuestion);
});

test('the last question that came too early is handed on once, when the port is served and its gateway is on the tap, in whatever order they come', () => {
  for (const order of ['port first', 'gateway first']) {
    const { hear, serve, makeReady, asked, index } = setUp();
    hear();
    hear({ type: 3 });
    const [first, second] = order === 'port first' ? [serve, makeReady] : [makeReady, serve];
    first();
    expect(asked).toEqual([]);
    second();
    expect(asked).toEqual([`${index} 10.65.0.1 244`]);
    makeReady();
    expect(asked).toHaveLength(1);
  }
});

test('the first one that is heard after that is handed on however late, since it may have waited, and Dnsmasq is left to itself with the others', async () => {
  const { hear, serve, makeReady, asked, clock } = setUp();
  serve();
  makeReady();
  await clock.pass(3000);
  hear();
  hear();
  expect(asked).toHaveLength(1);
});

test('what is heard while Dnsmasq cannot answer on the tap is handed on when it can', () => {
  const { hear, serve, unserve, makeReady, asked } = setUp();
  serve();
  makeReady();
  hear();
  unserve();
  hear();
  hear();
  expect(asked).toHaveLength(1);
  serve();
  expect(asked).toHaveLength(2);
});

test('when Dnsmasq was restarted, the last one is handed on again, since the former Dnsmasq may have ended before its answer; and so is the next one, which may have waited', async () => {
  const { hear, serve, makeReady, asked, early, clock } = setUp();
  serve();
  makeReady();
  hear();
  hear();
  expect(asked).toHaveLength(1);
  early.answered(['tap1']);
  expect(asked).toHaveLength(3);
  hear();
  expect(asked).toHaveLength(3);
  await clock.pass(10_000);
  early.answered(['tap1']);
  expect(asked).toHaveLength(3);
  hear();
  hear();
  expect(asked).toHaveLength(5);
});

test('after Dnsmasq was made to read its files again, two copies are handed on, once: it may take one message before it reads them', () => {
  const { hear, serve, unserve, makeReady, asked, early } = setUp();
  hear();
  serve();
  early.answered(['tap1']); // before the gateway is on the tap
  expect(asked).toEqual([]);
  makeReady();
  expect(asked).toHaveLength(2);
  expect(new Set(asked).size).toBe(1);
  unserve();
  hear();
  serve();
  expect(asked).toHaveLength(3);
});

test('one that comes by a link whose name is not known yet, or was not a tap’s before, is handed on', () => {
  for (const before of ['unknown', 'other name'] as const) {
    const { serve, hear, asked, links, early } = setUp();
    const index = before === 'unknown' ? 99 : links.kernel.add('veth7', { up: true });
    if (before === 'other name') links.kernel.deliver();
    links.removeLink('tap1');
    serve();
    hear({}, index);
    if (before === 'unknown') links.kernel.add('tap1', { up: true, index });
    else links.setLink('veth7', { name: 'tap1' });
    links.addAddress('tap1', '10.65.0.1', 32);
    links.kernel.deliver();
    early.changed('tap1');
    expect(asked).toEqual([`${index} 10.65.0.1 244`]);
  }
});

test('one that is ten seconds old, or whose tap was deleted, is forgotten', async () => {
  const { hear, serve, makeReady, asked, clock, links, index, early } = setUp();
  hear();
  await clock.pass(10_000);
  serve();
  makeReady();
  expect(asked).toEqual([]);
  links.removeAddress('tap1', '10.65.0.1', 32);
  links.kernel.deliver();
  hear();
  links.kernel.remove(index);
  links.kernel.deliver();
  early.changed('tap1');
  links.kernel.add('tap1', { up: true });
  makeReady();
  expect(asked).toEqual([]);
});

test.each<{ readonly what: string; readonly some?: Some; readonly on?: 'eth0' }>([
  { what: 'of another guest than the sender', some: { chaddr: [2, 0, 0, 0, 0, 9] } },
  { what: 'of a relay', some: { giaddr: 9 } },
  { what: 'of another type: a DECLINE', some: { type: 4 } },
  { what: 'of a server', some: { op: 2 } },
  { what: 'to another port', some: { destinationPort: 68 } },
  { what: 'on another link', on: 'eth0' },
])('a message $what is not kept', ({ some, on }) => {
  const world = setUp();
  world.hear(some, on === 'eth0' ? world.eth0 : world.index);
  world.serve();
  world.makeReady();
  expect(world.asked).toEqual([]);
});

test('the question of another MAC than the port’s is not handed on', () => {
  const { hear, serve, makeReady, asked } = setUp();
  hear();
  serve(['fa:16:3e:00:00:02', mac]);
  makeReady();
  expect(asked).toEqual([]);
});

test('whatever a guest sends is a question or none', () => {
  const good = question();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat({ max: 300 }), fc.nat({ max: 255 }), (noise, at, byte) => {
      readQuestion(noise);
      readQuestion(good.subarray(0, at));
      const found = readQuestion(good.with(Math.min(at, good.length - 1), byte));
      if (found) expect(found.message.length).toBeLessThanOrEqual(good.length - 42);
    }),
    { numRuns: 2000 },
  );
});
