// MAC addresses as canonical text (lower case, colons) and as bytes.

const canonicalMac = /^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/;

/**
 * Reads a MAC address in either case, with colons or hyphens.
 * @returns its canonical text; undefined when `text` is not six bytes in hexadecimal
 */
export function parseMac(text: string): string | undefined {
  const canonical = text.toLowerCase().replaceAll('-', ':');
  return canonicalMac.test(canonical) ? canonical : undefined;
}

/**
 * The six bytes of a MAC address.
 * @param mac canonical text
 * @throws RangeError when it is anything else: text from outside goes through `parseMac` first
 */
export function macBytes(mac: string): Uint8Array {
  if (!canonicalMac.test(mac)) throw new RangeError(`${JSON.stringify(mac)} is not a MAC address in lower case with colons`);
  return Uint8Array.from(mac.split(':'), (octet) => Number.parseInt(octet, 16));
}

/** The canonical text of a MAC address. Any number of bytes is taken, because the kernel reports link addresses of other lengths too. */
export const macFromBytes = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
