import { expect, test } from 'vitest';
import { decodePairMacs } from './pair-macs.ts';

test('MACs of address pairs are read in canonical text, each once', () => {
  const read = decodePairMacs('{"10.65.0.200": ["00:00:5E:00:01:01", "00-00-5e-00-01-01"], "2001:DB8::/64": ["00:00:5e:00:02:01"], "10.65.0.201/32": []}');
  expect(read).toEqual({
    ok: true,
    value: new Map([
      ['10.65.0.200/32', ['00:00:5e:00:01:01']],
      ['2001:db8::/64', ['00:00:5e:00:02:01']],
    ]),
  });
});

test.each([
  ['[]', 'not a JSON object'],
  ['{', 'not JSON'],
  ['{"10.0.0.300": []}', '10.0.0.300'],
  ['{"10.0.0.3": "00:00:5e:00:01:01"}', 'no list'],
  ['{"10.0.0.3": ["00:00:5e:00:01"]}', '00:00:5e:00:01'],
  ['{"10.0.0.3": ["01:00:5e:00:00:01"]}', 'one interface'],
  ['{"10.0.0.3": ["ff:ff:ff:ff:ff:ff"]}', 'one interface'],
  ['{"10.0.0.3": [7]}', '7'],
  [JSON.stringify({ '10.0.0.3': Array(17).fill('00:00:5e:00:01:01') }), 'at most 16'],
  [' '.repeat(300_000), 'characters'],
])('%.40s is refused as a whole', (text, reason) => {
  const read = decodePairMacs(text);
  expect(read.ok ? '' : read.reason).toContain(reason);
});
