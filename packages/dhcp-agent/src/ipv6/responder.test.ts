import { addressBytes, linkLocalOf } from '@calico-openstack/addresses';
import { recordingLog } from '@calico-openstack/agent';
import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { icmp6Frame, parseIcmp6, parseUdp6, udp6Frame } from '@calico-openstack/kernel';
import { fakeLinks } from '@calico-openstack/kernel/links/fake';
import { afterEach, expect, test } from 'vitest';
import type { Ipv6Service } from '../service/service.ts';
import { port6 } from '../testing/port6.ts';
import { createResponder, type Responder } from './responder.ts';

const closing: Responder[] = [];
afterEach(async () => {
  for (const responder of closing.splice(0)) await responder.close();
});

const mac = Uint8Array.from([0xfa, 0x16, 0x3e, 0, 0, 1]);
const other = Uint8Array.from([0xfa, 0x16, 0x3e, 0, 0, 2]);
const linkLocal = Uint8Array.from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
const rebind = Buffer.from(
  '06abcdef0001000a00030001fa163e0000010003002800000001000000000000000000050018' + '20010db8000a000000000000000000110000000000000000',
  'hex',
);
const question = (some: Partial<Parameters<typeof udp6Frame>[0]> = {}): Uint8Array =>
  udp6Frame({
    sourceMac: mac,
    destinationMac: mac,
    source: linkLocal,
    destination: linkLocal,
    sourcePort: 546,
    destinationPort: 547,
    payload: rebind,
    ...some,
  });
const solicitation = (sourceMac = mac): Uint8Array =>
  icmp6Frame({ sourceMac, destinationMac: mac, source: linkLocal, destination: linkLocal, message: Uint8Array.of(133, 0, 0, 0, 0, 0, 0, 0) });

function setUp({ isOff = true } = {}) {
  const clock = fakeClock();
  const { log, entries } = recordingLog();
  const links = fakeLinks({ deliverBy: 'hand' });
  const index = Object.fromEntries(['tap1', 'tap2', 'eth0'].map((name) => [name, links.kernel.add(name, { up: true, mac: 'fe:16:3e:00:00:01' })]));
  for (const name of ['tap1', 'tap2', 'eth0']) links.addAddress(name, 'fe80::1', 64);
  links.kernel.deliver();
  const ports = new Map<string, Ipv6Service>([['tap1', port6()]]);
  const sent: { readonly linkIndex: number; readonly bytes: Uint8Array }[] = [];
  const options = {
    links,
    server: { duid: Uint8Array.of(0, 4), leaseSeconds: 600 },
    portOf: (tap: string) => ports.get(tap),
    isOff: () => isOff,
    log,
    clock,
  };
  const responder = createResponder(options, (linkIndex, bytes) => sent.push({ linkIndex, bytes }));
  closing.push(responder);
  return {
    clock,
    entries,
    links,
    ports,
    sent,
    ...responder,
    hear: (name: string, bytes: Uint8Array) => responder.take({ linkIndex: index[name] ?? 4711, bytes }),
    replies: () => sent.flatMap(({ bytes }) => parseUdp6(bytes) ?? []),
    advertisements: () => sent.flatMap(({ bytes }) => parseIcmp6(bytes) ?? []),
  };
}

test('a question is answered on its tap, to the guest that asked, from the tap’s own addresses', () => {
  const { hear, sent, links } = setUp();
  hear('tap1', question());
  expect(sent.map(({ linkIndex }) => linkIndex)).toEqual([links.link('tap1')!.index]);
  const reply = parseUdp6(sent[0]!.bytes)!;
  expect(reply).toMatchObject({ sourcePort: 547, destinationPort: 546, destinationMac: mac, destination: linkLocal });
  expect([...reply.sourceMac]).toEqual([0xfe, 0x16, 0x3e, 0, 0, 1]);
  expect(reply.source.at(-1)).toBe(1);
  expect(reply.payload[0]).toBe(7);
});

test('a router solicitation is answered to all nodes of its tap', () => {
  const { hear, advertisements } = setUp();
  hear('tap1', solicitation());
  const [said, ...more] = advertisements();
  expect(more).toEqual([]);
  expect(said!.message[0]).toBe(134);
  expect([...said!.destinationMac]).toEqual([0x33, 0x33, 0, 0, 0, 1]);
  expect([said!.source.at(-1), said!.destination.at(-1)]).toEqual([1, 1]);
});

test.each([
  { what: 'on a tap without port', link: 'tap2', bytes: question() },
  { what: 'on another link', link: 'eth0', bytes: question() },
  { what: 'on a link that is gone', link: 'gone', bytes: question() },
  { what: 'with another MAC than the port’s', link: 'tap1', bytes: question({ sourceMac: other }) },
  { what: 'from a routed address', link: 'tap1', bytes: question({ source: Uint8Array.from([0x20, 1, ...new Array<number>(14).fill(0)]) }) },
  { what: 'to another port', link: 'tap1', bytes: question({ destinationPort: 5470 }) },
  { what: 'by half a message', link: 'tap1', bytes: question().subarray(0, 60) },
  { what: 'by a router solicitation with another MAC', link: 'tap1', bytes: solicitation(other) },
])('nothing is said $what', ({ link, bytes }) => {
  const { hear, sent } = setUp();
  hear(link, bytes);
  expect(sent).toEqual([]);
});

test('a guest without end is answered sixteen times at once, and then eight times a second', async () => {
  const { hear, replies, clock } = setUp();
  for (let message = 0; message < 100; message++) hear('tap1', question());
  expect(replies()).toHaveLength(16);
  for (let atMs = 0; atMs < 10_000; atMs += 10) {
    hear('tap1', question());
    await clock.pass(10);
  }
  expect(replies().length).toBeGreaterThanOrEqual(16 + 79);
  expect(replies().length).toBeLessThanOrEqual(16 + 80);
});

test('before the kernel has given the tap its link-local address, guests are answered from the one that it makes of the tap’s MAC', () => {
  const { hear, changed, links, ports, replies, advertisements } = setUp({ isOff: false });
  links.removeAddress('tap2', 'fe80::1', 64);
  links.kernel.deliver();
  hear('tap2', question());
  ports.set('tap2', port6());
  changed('tap2');
  const made = addressBytes(linkLocalOf('fe:16:3e:00:00:01'));
  expect([replies()[0]?.source, advertisements()[0]?.source]).toEqual([made, made]);
  links.addAddress('tap2', 'fe80::1', 64);
  links.kernel.deliver();
  changed('tap2');
  expect(advertisements().at(-1)?.source).toEqual(addressBytes('fe80::1'));
});

test('the last question and solicitation that came before the port, or before the host did IPv6 on the tap, are answered when it comes; later they are forgotten', async () => {
  const { hear, changed, ports, links, sent, replies, clock } = setUp();
  for (let times = 0; times < 3; times += 1) hear('tap2', question());
  hear('tap2', solicitation());
  links.removeAddress('tap2', 'fe80::1', 64);
  links.kernel.deliver();
  ports.set('tap2', port6());
  changed('tap2');
  expect(sent).toEqual([]);
  links.addAddress('tap2', 'fe80::1', 64);
  links.kernel.deliver();
  await clock.pass(9000);
  changed('tap2');
  expect(replies()).toHaveLength(1);
  changed('tap2');
  expect(replies()).toHaveLength(1);

  ports.delete('tap2');
  changed('tap2');
  hear('tap2', question());
  await clock.pass(10_000);
  ports.set('tap2', port6());
  changed('tap2');
  expect(replies()).toHaveLength(1);
});

test('a port is advertised when it comes and when it changes, twice soon after, and then every 200 to 600 s; not after it is gone', async () => {
  const { changed, ports, advertisements, clock, links } = setUp();
  const passed = async (ms: number): Promise<number> => {
    const before = advertisements().length;
    await clock.pass(ms);
    return advertisements().length - before;
  };
  changed('tap1');
  changed('tap1');
  expect(advertisements()).toHaveLength(1);
  expect([await passed(14_000), await passed(2000), await passed(14_000), await passed(2000)]).toEqual([0, 1, 0, 1]);
  expect(await passed(190_000)).toBe(0);
  expect(await passed(6_000_000)).toBeGreaterThan(9);
  ports.set('tap1', port6({ mtuBytes: 1400 }));
  changed('tap1');
  expect(await passed(0)).toBe(0);
  expect(Buffer.from(advertisements().at(-1)!.message).toString('hex')).toContain('0501000000000578');
  links.kernel.remove(links.link('tap1')!.index);
  links.kernel.deliver();
  changed('tap1');
  expect(await passed(1_000_000)).toBe(0);
});

test('a guest that declines its address again and again is logged once in ten minutes, and answered each time', async () => {
  const { hear, replies, clock, entries } = setUp();
  const toServer = '000200020004';
  const decline = Buffer.from(`09${rebind.toString('hex', 1, 18)}${toServer}${rebind.toString('hex', 18)}`, 'hex');
  const warnings = (): number => entries.filter(({ severity, message }) => severity === 'WARNING' && message.includes('declines')).length;
  for (let count = 0; count < 3; count += 1) hear('tap1', question({ payload: decline }));
  expect([replies().length, warnings()]).toEqual([3, 1]);
  await clock.pass(599_999);
  hear('tap1', question({ payload: decline }));
  expect(warnings()).toBe(1);
  await clock.pass(1);
  hear('tap1', question({ payload: decline }));
  expect([replies().length, warnings()]).toEqual([5, 2]);
});
