import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ip } from '../testing/facts.ts';
import { answer, type Held, type Server } from './message.ts';

const held: Held = { leases: [ip('2001:db8:a::11'), ip('2001:db8:a::12')], dnsServers: [ip('2001:db8::53')], domainSearch: 'cloud.example' };
const server: Server = { duid: Uint8Array.from([0, 4, ...new Array<number>(16).fill(7)]), leaseSeconds: 86_400 };

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
const option = (code: number, value: Uint8Array | string): Buffer => {
  const bytes = typeof value === 'string' ? hex(value) : value;
  return Buffer.concat([u16(code), u16(bytes.length), bytes]);
};
const client = option(1, '0003 0001 fa163e000001');
const address = (last: string): Buffer => option(5, `20010db8000a000000000000000000${last} 00000000 00000000`);
const association = (...inside: readonly Uint8Array[]): Buffer => option(3, Buffer.concat([hex('0000002a 00000000 00000000'), ...inside]));
const message = (type: number, ...options: readonly Uint8Array[]): Buffer => Buffer.concat([Buffer.from([type, 0xab, 0xcd, 0xef]), ...options]);
const text = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString('hex');

describe('a REBIND', () => {
  test('is answered with the port’s addresses for the whole lease, any other for no time, T1, T2, DNS servers and domain', () => {
    const reply = answer(message(6, client, association(address('11'), address('99'))), held, server);
    const lifetimes = '00015180 00015180';
    expect(reply?.to).toBe('rebind');
    expect(text(reply?.message)).toBe(
      text(
        Buffer.concat([
          hex('07abcdef'),
          client,
          option(2, server.duid),
          option(
            3,
            Buffer.concat([
              hex('0000002a 0000a8c0 00012750'),
              option(5, `20010db8000a00000000000000000011 ${lifetimes}`),
              option(5, '20010db8000a00000000000000000099 00000000 00000000'),
            ]),
          ),
          option(23, '20010db8000000000000000000000053'),
          option(24, Buffer.concat([hex('05'), Buffer.from('cloud'), hex('07'), Buffer.from('example'), hex('00')])),
        ]),
      ),
    );
  });

  test('is told of DNS servers and domain as it asks for them', () => {
    const asked = (codes: string): string => text(answer(message(6, client, option(6, codes), association(address('11'))), held, server)?.message)!;
    expect([asked('0017').includes('00170010'), asked('0017').includes('0018000f')]).toEqual([true, false]);
    expect([asked('0018').includes('00170010'), asked('0018').includes('0018000f')]).toEqual([false, true]);
  });

  test('without an address is told that there is no binding, by which the client asks anew; a lease for ever is one', () => {
    expect(text(answer(message(6, client, association()), { ...held, dnsServers: [], domainSearch: undefined }, server)?.message)).toContain('000d00020003');
    expect(text(answer(message(6, client, association(address('11'))), held, { ...server, leaseSeconds: undefined })?.message)).toContain('ffffffffffffffff');
  });
});

test.each([
  { what: 'nothing', bytes: Buffer.alloc(0) },
  { what: 'another message', bytes: message(1, client, association(address('11'))) },
  { what: 'no client', bytes: message(6, association(address('11'))) },
  { what: 'a client with an identifier of hundreds of bytes', bytes: message(6, option(1, Buffer.alloc(131)), association(address('11'))) },
  { what: 'no association', bytes: message(6, client) },
  { what: 'an association cut short', bytes: message(6, client, option(3, '0000002a')) },
  { what: 'an option longer than the message', bytes: message(6, client, association(address('11')), hex('0006 0008 00')) },
  { what: 'bytes behind the last option', bytes: message(6, client, association(address('11')), hex('00')) },
  { what: 'a REBIND to one server', bytes: message(6, client, option(2, server.duid), association(address('11'))) },
  { what: 'a DECLINE to no server', bytes: message(9, client, association(address('11'))) },
  { what: 'a DECLINE to another server', bytes: message(9, client, option(2, '0003 0001'), association(address('11'))) },
])('$what is not answered', ({ bytes }) => {
  expect(answer(bytes, held, server)).toBeUndefined();
});

test('a DECLINE is heard, and that is all', () => {
  const reply = answer(message(9, client, option(2, server.duid), association(address('11'))), held, server);
  expect(reply?.to).toBe('decline');
  expect(text(reply?.message)).toBe(text(Buffer.concat([hex('07abcdef'), client, option(2, server.duid), option(13, '0000')])));
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
  fc.assert(
    fc.property(fc.constantFrom(6, 9), fc.boolean(), fc.array(pieces, { maxLength: 6 }), (type, toServer, some) => {
      const asked = message(type, client, ...(toServer ? [option(2, server.duid)] : []), ...some);
      const reply = answer(asked, held, server);
      if (!reply) return;
      const granted = [...text(reply.message)!.matchAll(/00050018([0-9a-f]{32})(?!0{16})/g)].map(([, bytes]) => bytes!);
      for (const bytes of granted) expect(['20010db8000a00000000000000000011', '20010db8000a00000000000000000012']).toContain(bytes);
      expect(reply.message.length).toBeLessThan(2 * asked.length + 200);
    }),
    { numRuns: 2000 },
  );
});
