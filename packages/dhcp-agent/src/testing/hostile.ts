// Generates hostile ports for property tests: names of any text, addresses and subnets of any form.
import fc from 'fast-check';
import type { PortFacts } from '../service/service.ts';
import { facts, subnet } from './facts.ts';

const hostileParts = [
  '\n',
  '\r',
  ',',
  'set:x',
  'tag:tap99999999-99',
  '"',
  '#',
  '\\',
  '\0',
  '*',
  '[::1]',
  'ignore',
  'infinite',
  '60',
  '5m',
  '10.0.0.1',
  'fa:16:3e:00:00:09',
  'option:router',
  ' ',
  'é',
  '.',
  'vm',
];
export const hostileText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.array(fc.constantFrom(...hostileParts), { maxLength: 6 }).map((parts) => parts.join('')),
);

const hex = (bytes: number): fc.Arbitrary<string> =>
  fc
    .array(fc.integer({ min: 0, max: 255 }), { minLength: bytes, maxLength: bytes })
    .map((all) => all.map((byte) => byte.toString(16).padStart(2, '0')).join(''));

const octet = fc.integer({ min: 0, max: 255 });
const subnets = fc.record({
  third: octet,
  length: fc.integer({ min: 8, max: 32 }),
  gateway: fc.option(octet),
  dns: fc.array(octet, { maxLength: 3 }),
  routes: fc.array(octet, { maxLength: 40 }),
});

const extraOption = fc.record({
  name: fc.oneof(
    hostileText,
    fc.integer({ min: 0, max: 300 }).map(String),
    fc.constantFrom('bootfile-name', 'ntp-server', 'mtu', 'server-ip-address', 'domain-search'),
  ),
  value: fc.oneof(hostileText, fc.constantFrom('10.1.1.1', '1400', 'a.example', '01:02', '7', 'pxe linux,0#x', '2001:db8::1')),
  family: fc.constantFrom(4 as const, 6 as const),
});

/** A port with up to two subnets of each family. */
export const hostilePort: fc.Arbitrary<PortFacts> = fc
  .record({
    id: hex(5),
    mac: hex(5),
    fqdn: fc.option(hostileText),
    mtuBytes: fc.integer({ min: 68, max: 65_535 }),
    subnets: fc.array(subnets, { maxLength: 2 }),
    host: octet,
    ipv6: fc.boolean(),
    extraOptions: fc.array(extraOption, { maxLength: 3 }),
  })
  .map(({ id, mac, fqdn, mtuBytes, subnets: some, host, ipv6, extraOptions }) =>
    facts({
      tap: `tap${id.slice(0, 8)}-${id.slice(8)}`,
      mac: `fa:${mac.match(/../g)!.join(':')}`,
      fqdn: fqdn ?? undefined,
      mtuBytes,
      extraOptions,
      addresses: some.flatMap(({ third }) => [`10.65.${third}.${host}`, ...(ipv6 ? [`2001:db8:${third}::${host.toString(16)}`] : [])]),
      subnets: some.flatMap(({ third, length, gateway, dns, routes }) => [
        subnet(`10.65.${third}.0/${length}`, {
          ...(gateway !== null && { gatewayIp: `10.65.${third}.${gateway}` }),
          dnsServers: dns.flatMap((last) => [`192.0.2.${last}`, `2001:db8::${last.toString(16)}`]),
          routes: Object.fromEntries(routes.map((route) => [`10.${route}.0.0/16`, `10.65.${third}.7`])),
        }),
        subnet(`2001:db8:${third}::/64`, { ...(gateway !== null && { gatewayIp: `2001:db8:${third}::${gateway.toString(16)}` }) }),
      ]),
    }),
  );
