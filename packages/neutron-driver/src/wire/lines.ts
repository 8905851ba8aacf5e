// Splits a stream of bytes into lines. A line beyond the limit is an error, so that nobody can fill this process's memory.

/** The greatest length of a line. */
export const maxLineBytes = 64 * 1024 * 1024;

/** Returns a function that takes the pieces of the stream, of any size, and calls `onLine` for each whole line. @throws RangeError when a line is too long */
export function createLineSplitter(onLine: (line: string) => void, limitBytes = maxLineBytes): (piece: Buffer) => void {
  let rest: Buffer[] = [];
  let restBytes = 0;
  return (piece) => {
    let start = 0;
    for (let end = piece.indexOf(10, start); end >= 0; end = piece.indexOf(10, start)) {
      const whole = rest.length > 0 ? Buffer.concat([...rest, piece.subarray(start, end)]) : piece.subarray(start, end);
      rest = [];
      restBytes = 0;
      start = end + 1;
      onLine(whole.toString('utf8'));
    }
    if (start < piece.length) {
      rest.push(piece.subarray(start));
      restBytes += piece.length - start;
      if (restBytes > limitBytes) throw new RangeError(`a line is longer than ${limitBytes} bytes`);
    }
  };
}
