import { addressFromBytes, cidrContains, familyOf, hostCidr, parseAddress, parseCidr } from '@calico-openstack/addresses';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { impossibleForHosts } from './possible-addresses.ts';

describe('addresses that no host can have', () => {
  test.each(['0.0.0.0', '0.1.2.3', '127.0.0.1', '169.254.169.254', '224.0.0.5', '240.0.0.1', '255.255.255.255', '::', '::1', 'fe80::1', 'febf::1', 'ff02::1'])(
    '%s',
    (text) => {
      expect(impossibleForHosts(parseAddress(text)!)).toBeDefined();
      expect(impossibleForHosts(hostCidr(parseAddress(text)!))).toBeDefined();
    },
  );
  test.each(['0.0.0.0/0', '0.0.0.0/1', '128.0.0.0/1', '169.0.0.0/8', '::/0', 'fe00::/7', 'fc00::/6'])('%s, which holds some', (text) => {
    expect(impossibleForHosts(parseCidr(text)!)).toBeDefined();
  });
});

test.each([
  '10.65.0.4',
  '1.0.0.1',
  '126.255.255.255',
  '128.0.0.1',
  '169.253.255.255',
  '172.24.4.9',
  '223.255.255.255',
  '2001:db8::4',
  'fd00::1',
  '::2',
  '64:ff9b::1',
])('%s is an address that a host can have', (text) => {
  expect(impossibleForHosts(parseAddress(text)!)).toBeUndefined();
});

test('every address is judged as the table of prefixes says', () => {
  const reserved = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '240.0.0.0/4', '::/127', 'fe80::/10', 'ff00::/8'].map(
    (text) => parseCidr(text)!,
  );
  const addresses = fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 })).map(addressFromBytes);
  fc.assert(
    fc.property(addresses, (address) => {
      const lies = reserved.some((prefix) => familyOf(prefix) === familyOf(address) && cidrContains(prefix, address));
      expect(impossibleForHosts(address) !== undefined).toBe(lies);
    }),
  );
});
