// Makes names and free text safe for the kernel and for nft text.

/** NFT_NAME_MAXLEN without the NUL at the end. */
const longestNameBytes = 255;
const longestCommentBytes = 128;
const longestLogPrefixBytes = 127;
const nftName = /^[A-Za-z_.][A-Za-z0-9_./-]*$/;

/** Why `name` cannot be the name of a table, chain or set; undefined when it can. nft cannot quote names, so a name that nft could not read back is refused. */
export function nameProblem(name: string): string | undefined {
  if (name.includes('\0')) return 'holds a NUL, where the kernel would cut it off';
  if (Buffer.byteLength(name) > longestNameBytes) return `is longer than ${longestNameBytes} bytes`;
  if (!nftName.test(name)) return 'has characters that nft cannot read in a name: letters, digits and _ . / - only, no digit, / or - first';
  return undefined;
}

/** A comment as it is sent to the kernel. nft's strings have no escapes, so quotes become ' and control characters become spaces; cut to 128 bytes. */
export const commentText = (text: string): string => cut(plain(text), longestCommentBytes);

/** A log prefix as it is sent to the kernel: like a comment, cut to 127 bytes, and without $, which nft would take for the start of a variable. */
export const logPrefixText = (text: string): string => cut(plain(text).replaceAll('$', '_'), longestLogPrefixBytes);

/** Any text in quotes for nft. It cannot end the quotes. */
export const quoted = (text: string): string => `"${plain(text)}"`;

const plain = (text: string): string =>
  text
    .toWellFormed()
    .replaceAll('"', "'")
    .replace(/\p{Cc}/gu, ' ');

/** The longest beginning of whole characters that fits into `bytes`. */
function cut(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  let length = 0;
  let kept = '';
  for (const character of text) {
    length += Buffer.byteLength(character);
    if (length > bytes) break;
    kept += character;
  }
  return kept;
}
