import { expect, test } from 'vitest';
import { hasPorts, parsePortProtocol, portProtocols } from './protocols.ts';

test.each([
  ['TCP', 6],
  ['tcp', 6],
  ['Udp', 17],
  ['SCTP', 132],
  [6, 6],
  ['17', 17],
  [132, 132],
  ['udplite', undefined],
  [1, undefined],
  ['06', undefined],
  [6.5, undefined],
  ['constructor', undefined],
  [undefined, undefined],
  [['tcp'], undefined],
])('protocol %j of a port is %j', (value, number) => expect(parsePortProtocol(value)).toBe(number));

test('whatever protocol an endpoint’s port can have, a rule can name ports of', () => {
  for (let number = 0; number <= 255; number += 1) expect(hasPorts(number)).toBe(parsePortProtocol(number) !== undefined);
  expect(portProtocols.every(hasPorts)).toBe(true);
  expect(hasPorts(undefined)).toBe(false);
});
