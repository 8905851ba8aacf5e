/** Bytes as a key: a character for each. A loop, since a hundred thousand connections ask for three each, and spreading an array costs more than the rest of the look at one. */
export function bytesKey(bytes: Uint8Array): string {
  let key = '';
  for (let index = 0; index < bytes.length; index += 1) key += String.fromCharCode(bytes[index]!);
  return key;
}
