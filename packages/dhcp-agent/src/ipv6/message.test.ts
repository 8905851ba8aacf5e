import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ip } from '../testing/facts.ts';
import { answer, type Held, messageType, type Server } from './message.ts';

const held: Held = {
  leases: [ip('2001:db8:a::11'), ip('2001:db8:a::12')],
  dhcp: 'stateful',
  dnsServers: [ip('2001:db8::53')],
  domain: 'cloud.example',
  options: [],
};
const bare: Held = { ...held, dnsServers: [], domain: undefined };
const server: Server = { duid: Uint8Array.from([0, 4, ...new Array<number>(16).fill(7)]), leaseSeconds: 86_400 };

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
const option = (code: number, value: Uint8Array | string): Buffer => {
  const bytes = typeof value === 'string' ? hex(value) : value;
  return Buffer.concat([u16(code), u16(bytes.length), bytes]);
};
const client = option(1, '0003 0001 fa163e000001');
const toServer = option(2, server.duid);
const address = (last: string, seconds = '00000000'): Buffer => option(5, `20010db8000a000000000000000000${last} ${seconds} ${seconds}`);
const day = '00015180';
const association = (...inside: readonly Uint8Array[]): Buffer => option(3, Buffer.concat([hex('0000002a 00000000 00000000'), ...inside]));
const granted = (...inside: readonly Uint8Array[]): Buffer => option(3, Buffer.concat([hex('0000002a 0000a8c0 00012750'), ...inside]));
const message = (type: keyof typeof messageType, ...options: readonly Uint8Array[]): Buffer =>
  Buffer.concat([Buffer.from([messageType[type], 0xab, 0xcd, 0xef]), ...options]);
const text = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString('hex');
const reply = (type: 'advertise' | 'reply', ...inside: readonly Uint8Array[]): string => text(message(type, client, toServer, ...inside))!;
const asked = (bytes: Uint8Array, who = bare, by = server): string | undefined => text(answer(bytes, who, by)?.message);
const both = granted(address('11', day), address('12', day));

test('a SOLICIT is offered all of the port’s addresses, at the highest preference, so that the client does not wait for other servers', () => {
  expect(asked(message('solicit', client, association()))).toBe(reply('advertise', option(7, 'ff'), both));
});

test('a SOLICIT with Rapid Commit is granted them at once', () => {
  expect(asked(message('solicit', client, option(14, ''), association()))).toBe(reply('reply', option(14, ''), both));
});

test('a REQUEST is granted them, whatever identifier or association the client had before', () => {
  for (const duid of [client, option(1, '0004 0102')])
    expect(asked(message('request', duid, toServer, association(address('11'))))).toBe(text(message('reply', duid, toServer, both)));
});

test.each(['renew', 'rebind'] as const)('a %s is granted the port’s addresses for the whole lease, any other for no time', (type) => {
  const named = type === 'renew' ? [toServer] : [];
  expect(asked(message(type, client, ...named, association(address('12'), address('99'))))).toBe(
    reply('reply', granted(address('12', day), address('11', day), address('99'))),
  );
});

test('each address is granted once, in the association that names it; temporary addresses and prefixes are refused by a status', () => {
  const other = option(3, Buffer.concat([hex('0000002b 00000000 00000000'), address('12')]));
  const found = asked(message('request', client, toServer, association(), other, option(4, '0000002c'), option(25, '0000002d 00000000 00000000')));
  expect(found).toBe(
    reply(
      'reply',
      granted(address('11', day)),
      option(3, Buffer.concat([hex('0000002b 0000a8c0 00012750'), address('12', day)])),
      option(4, Buffer.concat([hex('0000002c'), option(13, '0002')])),
      option(25, Buffer.concat([hex('0000002d 00000000 00000000'), option(13, '0006')])),
    ),
  );
  const third = option(3, '0000002e 00000000 00000000');
  expect(asked(message('request', client, toServer, association(), third))).toContain('0000002e0000a8c000012750000d00020002');
});

test.each([
  { addresses: ['11', '12'], status: '0000' },
  { addresses: ['11', '99'], status: '0004' },
])('a CONFIRM of $addresses has status $status', ({ addresses, status }) => {
  expect(asked(message('confirm', client, association(...addresses.map((last) => address(last)))))).toBe(reply('reply', option(13, status)));
});

test.each(['release', 'decline'] as const)('a %s is confirmed, and that is all', (type) => {
  expect(asked(message(type, client, toServer, association(address('11'))))).toBe(reply('reply', option(13, '0000')));
});

test('an INFORMATION-REQUEST is told the options, also without an identifier, and also where addresses are not handed out', () => {
  const dns = option(23, '20010db8000000000000000000000053');
  const stateless: Held = { ...held, leases: [], dhcp: 'stateless', domain: undefined };
  expect(asked(message('informationRequest', client), stateless)).toBe(reply('reply', dns));
  expect(asked(message('informationRequest', toServer), stateless)).toBe(text(message('reply', toServer, dns)));
  expect(asked(message('solicit', client, association()), { ...stateless, dnsServers: [] })).toContain('000d00020002');
});

describe('options', () => {
  const told = (codes: string, who = held): string => asked(message('rebind', client, ...(codes ? [option(6, codes)] : []), association(address('11'))), who)!;
  const [dns, search] = [text(option(23, '20010db8000000000000000000000053'))!, '0018000f05636c6f7564076578616d706c6500'];
  test('are told as the client asks for them, all where it does not say', () => {
    expect([told('0017').includes(dns), told('0017').includes(search)]).toEqual([true, false]);
    expect([told('0018').includes(dns), told('0018').includes(search)]).toEqual([false, true]);
    expect([told('').includes(dns), told('').includes(search)]).toEqual([true, true]);
  });
  test('of the port itself replace those of the subnet', () => {
    const found = told('0017 003b', {
      ...held,
      options: [
        { code: 59, hex: '7466' },
        { code: 23, hex: '20010db8000000000000000000000099' },
      ],
    });
    expect(found).toContain('003b00027466');
    expect(found).toContain('0017001020010db8000000000000000000000099');
    expect(found).not.toContain(dns);
  });
});

test('a lease for ever is one', () =>
  expect(asked(message('rebind', client, association(address('11'))), bare, { ...server, leaseSeconds: undefined })).toContain('ffffffffffffffff'));

test.each([
  { what: 'nothing', bytes: Buffer.alloc(0) },
  { what: 'a server’s message', bytes: message('advertise', client, association(address('11'))) },
  { what: 'a relay’s message', bytes: Buffer.concat([Buffer.from([12]), Buffer.alloc(33), client]) },
  { what: 'no client', bytes: message('rebind', association(address('11'))) },
  { what: 'a client with an identifier of hundreds of bytes', bytes: message('rebind', option(1, Buffer.alloc(131)), association(address('11'))) },
  { what: 'no association', bytes: message('rebind', client) },
  { what: 'an association cut short', bytes: message('rebind', client, option(3, '0000002a')) },
  { what: 'more associations than a client has', bytes: message('solicit', client, ...Array.from({ length: 17 }, () => association())) },
  { what: 'an option longer than the message', bytes: message('rebind', client, association(address('11')), hex('0006 0008 00')) },
  { what: 'bytes behind the last option', bytes: message('rebind', client, association(address('11')), hex('00')) },
  { what: 'a REBIND to one server', bytes: message('rebind', client, toServer, association(address('11'))) },
  { what: 'a SOLICIT to one server', bytes: message('solicit', client, toServer, association()) },
  { what: 'a REQUEST to no server', bytes: message('request', client, association()) },
  { what: 'a RENEW to another server', bytes: message('renew', client, option(2, '0003 0001'), association(address('11'))) },
  { what: 'a DECLINE to no server', bytes: message('decline', client, association(address('11'))) },
  { what: 'a CONFIRM of nothing', bytes: message('confirm', client, association()) },
  { what: 'an INFORMATION-REQUEST with an association', bytes: message('informationRequest', client, association()) },
])('$what is not answered', ({ bytes }) => {
  expect(answer(bytes, held, server)).toBeUndefined();
});

test('where guests make their addresses themselves and have no DHCPv6, nothing is answered', () => {
  expect(answer(message('solicit', client, association()), { ...held, dhcp: 'none' }, server)).toBeUndefined();
});

test('whatever bytes a guest sends, the answer has lifetimes for no address but the port’s, and is not much longer than the question', () => {
  const pieces = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.constantFrom(client, association(), association(address('11')), association(address('99'), address('12'))),
    fc.tuple(fc.integer({ min: 0, max: 30 }), fc.uint8Array({ maxLength: 60 })).map(([code, value]) => option(code, value)),
    fc
      .array(fc.tuple(fc.constantFrom(3, 5, 13), fc.uint8Array({ minLength: 16, maxLength: 40 })), { maxLength: 4 })
      .map((inside) => association(...inside.map(([code, value]) => option(code, value)))),
  );
  const types = Object.keys(messageType) as readonly (keyof typeof messageType)[];
  fc.assert(
    fc.property(fc.constantFrom(...types), fc.boolean(), fc.array(pieces, { maxLength: 6 }), (type, named, some) => {
      const question = message(type, client, ...(named ? [toServer] : []), ...some);
      const found = answer(question, held, server);
      if (!found) return;
      const addresses = [...text(found.message)!.matchAll(/00050018([0-9a-f]{32})(?!0{16})/g)].map(([, bytes]) => bytes!);
      for (const bytes of addresses) expect(['20010db8000a00000000000000000011', '20010db8000a00000000000000000012']).toContain(bytes);
      expect(found.message.length).toBeLessThan(2 * question.length + 200);
    }),
    { numRuns: 2000 },
  );
});
