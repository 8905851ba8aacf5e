// The link-local address that an interface makes of its MAC.
import { addressFromBytes, macBytes } from './addresses.ts';
import type { IpAddress } from './desired.ts';

/** fe80::/64 and the MAC's modified EUI-64 (RFC 4291, 2.5.6 and appendix A): the one link-local address that can be known of a guest. @param mac canonical */
export function linkLocalOf(mac: string): IpAddress {
  const [first = 0, second = 0, third = 0, ...rest] = macBytes(mac);
  return addressFromBytes(Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, first ^ 2, second, third, 0xff, 0xfe, ...rest));
}
