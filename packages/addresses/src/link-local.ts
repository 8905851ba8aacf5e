// The link-local address that an interface derives from its MAC address.
import { addressFromBytes, type IpAddress } from './ip.ts';
import { macBytes } from './mac.ts';

/**
 * The address in fe80::/64 with the MAC's modified EUI-64 as interface identifier (RFC 4291, section 2.5.6 and appendix A). It is the only link-local address of a guest that can be known
 * beforehand.
 * @param mac canonical text
 * @throws RangeError when `mac` is not canonical
 */
export const linkLocalOf = (mac: string): IpAddress => addressFromBytes(linkLocalBytes(mac));

/** The 16 bytes of `linkLocalOf`, in network order. */
export function linkLocalBytes(mac: string): Uint8Array {
  const [first = 0, second = 0, third = 0, ...rest] = macBytes(mac);
  return Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, first ^ 2, second, third, 0xff, 0xfe, ...rest);
}
