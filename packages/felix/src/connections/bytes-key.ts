// Bytes as keys of maps.

/** A text with one character for each byte. It is built in a loop, because it is called for each of many connections and spreading an array would cost more than all the rest. */
export function bytesKey(bytes: Uint8Array): string {
  let key = '';
  for (let index = 0; index < bytes.length; index += 1) key += String.fromCharCode(bytes[index]!);
  return key;
}
