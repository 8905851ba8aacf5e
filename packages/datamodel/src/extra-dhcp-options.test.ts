import { expect, test } from 'vitest';
import { decodeExtraDhcpOptions, dhcpOptionOf, dhcpOptions, encodeExtraDhcpOptions } from './extra-dhcp-options.ts';

test('what the driver writes is what the DHCP agent reads', () => {
  const options = [
    { name: 'bootfile-name', value: 'pxelinux.0', family: 4 },
    { name: '42', value: '10.0.0.1', family: 4 },
    { name: 'ntp-server', value: '2001:db8::1', family: 6 },
  ] as const;
  const text = encodeExtraDhcpOptions(options);
  expect(text).toBe(
    '[{"name":"bootfile-name","value":"pxelinux.0","ip_version":4},{"name":"42","value":"10.0.0.1","ip_version":4},{"name":"ntp-server","value":"2001:db8::1","ip_version":6}]',
  );
  expect(decodeExtraDhcpOptions(text)).toEqual({ options, leftOut: [] });
});

test.each([
  ['', /^is not JSON/],
  ['{}', /^are not a JSON list$/],
  ['[1]', /^hold 1, which is no option$/],
  ['[{"name":"mtu","value":1400}]', /^hold an object, which is no option$/],
  ['[{"name":"mtu","value":"1400","ip_version":5}]', /^hold an object/],
  ['['.repeat(200_000), /^nests deeper/],
  [' '.repeat(300_000), /^have 300000 characters/],
])('of %.40s nothing is an option', (text, reason) => {
  const { options, leftOut } = decodeExtraDhcpOptions(text);
  expect(options).toEqual([]);
  expect(leftOut.join('; ')).toMatch(reason);
});

test('a bad entry leaves the others, and of very many the first count', () => {
  const { options, leftOut } = decodeExtraDhcpOptions(JSON.stringify([7, ...Array.from({ length: 200 }, (_, at) => ({ name: String(at), value: 'x' }))]));
  expect(options).toHaveLength(127);
  expect(options[0]).toEqual({ name: '0', value: 'x', family: 4 });
  expect(leftOut).toHaveLength(2);
});

test.each([
  [4, 'bootfile-name', { code: 67, type: 'text' }],
  [4, 'option:ntp-server', { code: 42, type: 'addresses' }],
  [4, '66', { code: 66, type: 'text' }],
  [4, '224', { code: 224, type: 'any' }],
  [6, 'option6:bootfile-url', { code: 59, type: 'text' }],
  [6, '65535', { code: 65535, type: 'any' }],
  [4, '255', undefined],
  [4, '53', undefined],
  [4, '65535', undefined],
  [4, 'netmask', undefined],
  [4, 'constructor', undefined],
  [4, 'tag:x,67', undefined],
  [6, '3', undefined],
  [6, 'bootfile-name', undefined],
] as const)('IPv%i option %s is %j', (family, name, option) => expect(dhcpOptionOf(family, name)).toEqual(option));

test('every name has a code that may be set', () => {
  for (const family of [4, 6] as const)
    for (const [name, { code }] of Object.entries(dhcpOptions[family]))
      if (name !== 'server-ip-address') expect(dhcpOptionOf(family, String(code)), name).toEqual(dhcpOptions[family][name]);
});
