// Names and free text on their way into the kernel and into nft text.

/** NFT_NAME_MAXLEN, the NUL at the end taken off. */
const longestNameBytes = 255;
const longestCommentBytes = 128;
const longestLogPrefixBytes = 127;
const nftName = /^[A-Za-z_.][A-Za-z0-9_./-]*$/;

/** Why `name` cannot name a table, chain or set; undefined: it can. nft has no way to quote a name, so what it could not read back is not let in. */
export function nameProblem(name: string): string | undefined {
  if (name.includes('\0')) return 'holds a NUL, where the kernel would cut it off';
  if (Buffer.byteLength(name) > longestNameBytes) return `is longer than ${longestNameBytes} bytes`;
  if (!nftName.test(name)) return 'has characters that nft cannot read in a name: letters, digits and _ . / - only, no digit, / or - first';
  return undefined;
}

/** A rule's or set's comment as it goes to the kernel: nft's strings know no escapes, so quotes become ' and control characters spaces; cut to 128 bytes. */
export const commentText = (text: string): string => cut(plain(text), longestCommentBytes);

/** A log prefix as it goes to the kernel: as a comment, cut to 127 bytes; nft would also take $ for the start of a variable. */
export const logPrefixText = (text: string): string => cut(plain(text).replaceAll('$', '_'), longestLogPrefixBytes);

/** Text in quotes for nft, whatever it is: it ends where it should. */
export const quoted = (text: string): string => `"${plain(text)}"`;

const plain = (text: string): string =>
  text
    .toWellFormed()
    .replaceAll('"', "'")
    .replace(/\p{Cc}/gu, ' ');

/** The longest beginning of whole characters. */
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
