import { silentLog } from '@calico-openstack/agent';
import { parseUdp6, udp6Frame } from '@calico-openstack/kernel';
import { fakeLinks } from '@calico-openstack/kernel/links/fake';
import { expect, test } from 'vitest';
import type { Holder } from '../dnsmasq/leases.ts';
import { ip } from '../testing/facts.ts';
import { createResponder } from './responder.ts';

const mac = Uint8Array.from([0xfa, 0x16, 0x3e, 0, 0, 1]);
const linkLocal = Uint8Array.from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
const rebind = Buffer.from(
  '06abcdef0001000a00030001fa163e00000100030028000000010000000000000000000500182001 0db8000a000000000000000000110000000000000000'.replaceAll(' ', ''),
  'hex',
);
const frame = (some: Partial<Parameters<typeof udp6Frame>[0]> = {}): Uint8Array =>
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

function world(holder?: Holder) {
  const released: { readonly message: Uint8Array; readonly to: string }[] = [];
  const links = fakeLinks({ deliverBy: 'hand' });
  const [tap, other, eth0] = ['tap1', 'tap2', 'eth0'].map((name) => links.kernel.add(name, { up: true, mac: 'fe:16:3e:00:00:01' }));
  for (const name of ['tap1', 'tap2', 'eth0']) links.addAddress(name, 'fe80::1', 64);
  links.kernel.deliver();
  const sent: { readonly linkIndex: number; readonly bytes: Uint8Array }[] = [];
  const port = { mac: 'fa:16:3e:00:00:01', leases: [ip('2001:db8:a::11')], dnsServers: [], domainSearch: undefined };
  const respond = createResponder(
    {
      links,
      server: { duid: Uint8Array.of(0, 4), leaseSeconds: 600 },
      portOf: (name) => (name === 'tap1' ? port : undefined),
      holderOf: () => holder,
      log: silentLog(),
    },
    {
      send: (linkIndex, bytes) => sent.push({ linkIndex, bytes }),
      tellServer: (message, linkLocalOfTap, name) => released.push({ message, to: `${linkLocalOfTap}%${name}` }),
    },
  );
  return { released, tap: tap!, other: other!, eth0: eth0!, sent, respond };
}

test('a REBIND is answered on its tap, to the guest that asked, from the tap’s own addresses', () => {
  const { tap, sent, respond } = world();
  respond({ linkIndex: tap, bytes: frame() }, 0);
  expect(sent.map(({ linkIndex }) => linkIndex)).toEqual([tap]);
  const reply = parseUdp6(sent[0]!.bytes)!;
  expect(reply).toMatchObject({ sourcePort: 547, destinationPort: 546, destinationMac: mac, destination: linkLocal });
  expect([...reply.sourceMac]).toEqual([0xfe, 0x16, 0x3e, 0, 0, 1]);
  expect(reply.source.at(-1)).toBe(1);
  expect(reply.payload[0]).toBe(7);
});

test.each([
  { what: 'on a tap without port', link: 'other', some: {} },
  { what: 'on another link', link: 'eth0', some: {} },
  { what: 'with another MAC than the port’s', link: 'tap', some: { sourceMac: Uint8Array.from([0xfa, 0x16, 0x3e, 0, 0, 2]) } },
  { what: 'from a routed address', link: 'tap', some: { source: Uint8Array.from([0x20, 1, ...new Array<number>(14).fill(0)]) } },
  { what: 'to another port', link: 'tap', some: { destinationPort: 5470 } },
] as const)('nothing is said $what', ({ link, some }) => {
  const world1 = world();
  world1.respond({ linkIndex: world1[link], bytes: frame(some) }, 0);
  world1.respond({ linkIndex: world1.tap, bytes: frame().subarray(0, 60) }, 0);
  world1.respond({ linkIndex: 4711, bytes: frame() }, 0);
  expect(world1.sent).toEqual([]);
});

test('a guest without end is answered eight times at once, and then four times a second', () => {
  const { tap, sent, respond } = world();
  for (let message = 0; message < 100; message++) respond({ linkIndex: tap, bytes: frame() }, 0);
  expect(sent).toHaveLength(8);
  for (let atMs = 0; atMs < 10_000; atMs += 10) respond({ linkIndex: tap, bytes: frame() }, atMs);
  expect(sent).toHaveLength(8 + 39);
});

test.each([
  { who: 'with the identifier and association that hold the lease', holder: { duid: Uint8Array.from([0, 3, 0, 1, ...mac]), iaid: 1 }, gives: 0 },
  { who: 'with another identifier than the lease’s', holder: { duid: Uint8Array.of(0, 3, 0, 1, 9), iaid: 1 }, gives: 1 },
  { who: 'with another association than the lease’s', holder: { duid: Uint8Array.from([0, 3, 0, 1, ...mac]), iaid: 0xffff_ffff }, gives: 1 },
  { who: 'whose port has no lease', holder: undefined, gives: 0 },
])('a guest that solicits $who has $gives leases given back for it, and is answered by Dnsmasq alone', ({ holder, gives }) => {
  const { tap, sent, released, respond } = world(holder);
  const solicit = Uint8Array.from(rebind);
  solicit[0] = 1;
  respond({ linkIndex: tap, bytes: frame({ payload: solicit }) }, 0);
  expect(sent).toEqual([]);
  expect(released.map(({ to }) => to)).toEqual(new Array(gives).fill('fe80::1%tap1'));
  for (const { message } of released) {
    const bytes = Buffer.from(message).toString('hex');
    expect(bytes.slice(0, 8)).toBe('08000000');
    for (const part of [Buffer.from(holder!.duid).toString('hex'), '000200020004', '20010db8000a00000000000000000011']) expect(bytes).toContain(part);
  }
});
