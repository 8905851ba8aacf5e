// The filter with which the kernel hands frames to the responder, so that other traffic of guests costs this process nothing.
import { icmpType } from './advertisement.ts';

/** The UDP port of DHCPv6 servers (RFC 8415, 7.2). */
export const dhcpServerPort = 547;

/**
 * The kernel's filter: it passes IPv6 without extension headers that is either UDP to DHCPv6's server port or a router solicitation. Codes are those of linux/filter.h; offsets count from the first byte of the frame.
 */
export const guestMessages = [
  [0x30, 0, 0, 20],
  [0x15, 0, 2, 17],
  [0x28, 0, 0, 56],
  [0x15, 4, 3, dhcpServerPort],
  [0x15, 0, 2, 58],
  [0x30, 0, 0, 54],
  [0x15, 1, 0, icmpType.routerSolicitation],
  [0x06, 0, 0, 0],
  [0x06, 0, 0, 0xffff_ffff],
] as const;
