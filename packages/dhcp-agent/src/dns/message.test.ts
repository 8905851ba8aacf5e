import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ip } from '../testing/facts.ts';
import { type Query, readQuery, recordType, responseCode, reverseAddress, writeAnswer, writeRefusal } from './message.ts';

/** A query as a client writes it. */
const query = (name: string, type: number, { flags = 0x0100, opt = '' } = {}): Buffer =>
  Buffer.concat([
    Buffer.from([0xab, 0xcd, flags >> 8, flags & 255, 0, 1, 0, 0, 0, 0, 0, opt === '' ? 0 : 1]),
    ...name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label, 'latin1')])),
    Buffer.from([0, 0, type, 0, 1]),
    Buffer.from(opt, 'hex'),
  ]);
const read = (message: Uint8Array): Query => readQuery(message) as Query;
const opt4096 = '00002910000000000000';

test('a query is read, whatever the case of its letters', () => {
  expect(read(query('Vm-1.Cloud.example', recordType.aaaa))).toMatchObject({
    id: 0xabcd,
    name: 'vm-1.cloud.example',
    type: 28,
    class: 1,
    edns: false,
    longestBytes: 512,
  });
  expect(read(query('a', 1, { opt: `${opt4096}00` }))).toMatchObject({ edns: true, longestBytes: 1232 });
});

test.each([
  ['a name with a byte that is no letter', query('vm\x01x', 1)],
  ['a name with a blank', query('vm x', 1)],
])('%s is no port’s', (_, message) => expect(read(message).name).toBeUndefined());

test.each([
  { what: 'a response', message: query('a', 1, { flags: 0x8180 }), gives: undefined },
  { what: 'a message that is too short', message: Buffer.alloc(11), gives: undefined },
  { what: 'an update', message: query('a', 1, { flags: 0x2800 }), gives: responseCode.unknownKind },
  { what: 'two questions', message: query('a', 1).fill(2, 5, 6), gives: responseCode.malformed },
  { what: 'a name that is compressed', message: query('a', 1).fill(0xc0, 12, 13), gives: responseCode.malformed },
  { what: 'a question that is cut', message: query('a', 1).subarray(0, 16), gives: responseCode.malformed },
])('$what is none', ({ message, gives }) => expect(readQuery(message)).toBe(gives));

describe('an answer', () => {
  test('has the question, and records whose names point to it', () => {
    const answer = writeAnswer(read(query('VM.x', 1)), { answers: [{ address: ip('10.0.0.1') }], ttlSeconds: 30, recursive: true });
    expect(Buffer.from(answer).toString('hex')).toBe(`abcd8580000100010000000002564d01780000010001${'c00c000100010000001e00040a000001'}`);
  });
  test('has a name as its labels', () => {
    const answer = writeAnswer(read(query('1.0.0.10.in-addr.arpa', 12)), { answers: [{ name: 'vm.x' }], ttlSeconds: 1 });
    expect(Buffer.from(answer).toString('hex')).toMatch(/c00c000c000100000001000602766d017800$/);
  });
  test('speaks EDNS to a client that does', () => {
    expect(Buffer.from(writeAnswer(read(query('a', 1, { opt: `${opt4096}00` })), {})).toString('hex')).toMatch(/0001000000000001.*00002904d0000000000000$/);
  });
  test('that is too long by UDP says so', () => {
    const answers = Array.from({ length: 40 }, () => ({ address: ip('2001:db8::1') }));
    const asked = read(query('a', 28));
    const [short, whole] = [writeAnswer(asked, { answers }), writeAnswer(asked, { answers, longestBytes: 0xffff })];
    expect([short.length <= 512, short[2]! & 2, short[7]]).toEqual([true, 2, 17]);
    expect([whole[2]! & 2, whole[7]]).toEqual([0, 40]);
  });
  test('that refuses is not authoritative', () => {
    expect(Buffer.from(writeAnswer(read(query('a', 1)), { code: responseCode.refused })).toString('hex')).toMatch(/^abcd8105/);
    expect(Buffer.from(writeRefusal(query('a', 1, { flags: 0x2900 }), responseCode.unknownKind)).toString('hex')).toBe('abcda9040000000000000000');
  });
});

test.each([
  ['4.3.2.1.in-addr.arpa', '1.2.3.4'],
  [`1.0.0.0.${'0.'.repeat(20)}8.b.d.0.1.0.0.2.ip6.arpa`, '2001:db8::1'],
  ['3.2.1.in-addr.arpa', undefined],
  ['1.ip6.arpa', undefined],
  ['256.3.2.1.in-addr.arpa', undefined],
  ['4.3.2.1.example', undefined],
])('%s stands for %s', (name, address) => expect(reverseAddress(name)).toBe(address));

test('whatever a guest sends, it is read or refused, and an answer repeats it as a question', () => {
  const header = fc.constant([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  const messages = fc.oneof(
    fc.uint8Array({ maxLength: 600 }),
    fc.tuple(header, fc.uint8Array({ maxLength: 300 })).map(([head, rest]) => Uint8Array.of(...head, ...rest)),
  );
  fc.assert(
    fc.property(messages, (message) => {
      const found = readQuery(message);
      if (typeof found === 'number') expect(writeRefusal(message, found).length).toBe(12);
      else if (found) expect(readQuery(writeAnswer(found, {}).fill(0, 2, 4))).toMatchObject({ name: found.name, type: found.type });
    }),
  );
});
