import { parseAddress } from '@calico-openstack/addresses';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isDomain, nameFromAddress, parseFqdn } from './names.ts';

const long = 'a'.repeat(63);
test.each([
  { fqdn: 'vm-1.cloud.example.', name: { hostname: 'vm-1', domain: 'cloud.example' } },
  { fqdn: 'vm-1.cloud.example', name: { hostname: 'vm-1', domain: 'cloud.example' } },
  { fqdn: 'VM1', name: { hostname: 'VM1', domain: undefined } },
  { fqdn: '10.65.0.9', name: { hostname: '10', domain: '65.0.9' } },
  { fqdn: `${long}.x`, name: { hostname: long, domain: 'x' } },
  { fqdn: `${long}a.x`, name: undefined },
  { fqdn: `${long}.${long}.${long}.${long}`, name: undefined },
  { fqdn: '', name: undefined },
  { fqdn: '.', name: undefined },
  { fqdn: '.example', name: undefined },
  { fqdn: 'a..b', name: undefined },
  { fqdn: '-a.example', name: undefined },
  { fqdn: 'a-.example', name: undefined },
  { fqdn: 'a_b.example', name: undefined },
  { fqdn: 'vm\n', name: undefined },
  { fqdn: 'vm,set:known', name: undefined },
  { fqdn: 'vm\0', name: undefined },
  { fqdn: 'vm example', name: undefined },
  { fqdn: 'vm"x', name: undefined },
  { fqdn: 'vm#x', name: undefined },
  { fqdn: 'bücher.example', name: undefined },
  { fqdn: 'xn--bcher-kva.example', name: { hostname: 'xn--bcher-kva', domain: 'example' } },
])('the FQDN $fqdn is $name', ({ fqdn, name }) => {
  expect(parseFqdn(fqdn)).toEqual(name);
});

test('a name holds only letters, digits and dashes, and a domain also dots between', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom('a', '-', '.', ',', '\n', 'Z', '9', ':', '"', '#') })), (text) => {
      const name = parseFqdn(text);
      if (!name) return;
      expect(name.hostname).toMatch(/^[A-Za-z0-9-]{1,63}$/);
      if (name.domain !== undefined) expect(name.domain).toMatch(/^[A-Za-z0-9.-]{1,251}$/);
    }),
  );
});

test.each([
  { address: '10.65.0.4', name: 'host-10-65-0-4' },
  { address: '2001:db8::4', name: 'host-2001-db8-0-0-0-0-0-4' },
])('a guest without a name is called after its address $address', ({ address, name }) => {
  expect(nameFromAddress(parseAddress(address))).toBe(name);
  expect(isDomain(name)).toBe(true);
});
