// The checksum of what IPv6 carries. Pure.

/** The one's complement sum of 16-bit words (RFC 1071), with `more` added. For IPv6 `bytes` begin with both addresses, and `more` is length and protocol (RFC 8200 8.1). */
export function ip6Checksum(bytes: Uint8Array, more: number): number {
  let sum = more;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
