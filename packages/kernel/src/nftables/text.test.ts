import fc from 'fast-check';
import { expect, test } from 'vitest';
import { commentText, logPrefixText, nameProblem, quoted } from './text.ts';

test.each(['chain-1', '_x', '.x', 'A/b.c-d_e', 'n'.repeat(255)])('%s can be a name', (name) => {
  expect(nameProblem(name)).toBeUndefined();
});

test.each(['', '1x', '-x', '/x', 'a b', 'a;b', 'a"b', 'a{b', 'a\0b', 'a\nb', 'ä', 'a%d', 'n'.repeat(256)])('%j cannot be a name', (name) => {
  expect(nameProblem(name)).not.toBeUndefined();
});

test('quoted text ends at its closing quote, and on its line', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(quoted(text)).toMatch(/^"[^"\p{Cc}]*"$/u);
      expect(commentText(text)).toMatch(/^[^"\p{Cc}]*$/u);
      expect(logPrefixText(text)).toMatch(/^[^"$\p{Cc}]*$/u);
      expect(Buffer.byteLength(commentText(text.repeat(20)))).toBeLessThanOrEqual(128);
      expect(Buffer.byteLength(logPrefixText(text.repeat(20)))).toBeLessThanOrEqual(127);
      expect(commentText(commentText(text))).toBe(commentText(text));
    }),
  );
});

test('text that nft can express is not changed; long text is cut between characters', () => {
  expect(commentText("allow 'web' → 10.0.0.0/8 \\ ü*")).toBe("allow 'web' → 10.0.0.0/8 \\ ü*");
  expect(commentText(`${'x'.repeat(127)}ü`)).toBe('x'.repeat(127));
  expect(commentText('a "b"\nc')).toBe("a 'b' c");
  expect(logPrefixText('$p')).toBe('_p');
});
