import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createMessageSplitter } from './transport.ts';

function frames(messages: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    messages.flatMap((message) => {
      const head = Buffer.alloc(5);
      head.writeUInt32BE(message.length, 1);
      return [head, message];
    }),
  );
}

describe('messages in a stream of bytes', () => {
  test('are found however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 })), fc.array(fc.nat({ max: 200 })), (messages, cuts) => {
        const found: number[][] = [];
        const split = createMessageSplitter((message) => found.push(Array.from(message)));
        let rest = frames(messages);
        for (const cut of cuts) {
          expect(split(rest.subarray(0, cut))).toBe(true);
          rest = rest.subarray(cut);
        }
        split(rest);
        expect(found).toEqual(messages.map((message) => Array.from(message)));
      }),
    );
  });

  test('a compressed one is refused', () => {
    const bytes = frames([Buffer.from('x')]);
    bytes[0] = 1;
    expect(createMessageSplitter(() => {})(bytes)).toBe(false);
  });
});
