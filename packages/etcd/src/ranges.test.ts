import { describe, expect, test } from 'vitest';
import { watchedRanges } from './ranges.ts';

describe('prefixes become watched ranges', () => {
  test.each<[string, string[], { from: string; to: string; prefixes: string[] }[]]>([
    ['one alone', ['/r/a/'], [{ from: '/r/a/', to: '/r/a0', prefixes: ['/r/a/'] }]],
    ['siblings: one range, whatever their order', ['/r/c/', '/r/a/', '/r/b/'], [{ from: '/r/a/', to: '/r/c0', prefixes: ['/r/a/', '/r/b/', '/r/c/'] }]],
    [
      'distant ones: a range each',
      ['/r/a/', '/d/a/'],
      [
        { from: '/d/a/', to: '/d/a0', prefixes: ['/d/a/'] },
        { from: '/r/a/', to: '/r/a0', prefixes: ['/r/a/'] },
      ],
    ],
    ['one inside another: the outer one', ['/r/a/b/', '/r/a/', '/r/a/'], [{ from: '/r/a/', to: '/r/a0', prefixes: ['/r/a/'] }]],
    ['everything', ['', '/r/'], [{ from: '\0', to: '\0', prefixes: [''] }]],
    ['single keys', ['/e/v2/election', '/e/v2/trigger'], [{ from: '/e/v2/election', to: '/e/v2/trigges', prefixes: ['/e/v2/election', '/e/v2/trigger'] }]],
  ])('%s', (_, prefixes, ranges) => {
    expect(watchedRanges(prefixes)).toEqual(ranges);
  });

  test('apart: each sibling has a range of its own, and nothing between them is watched', () => {
    expect(watchedRanges(['/r/c/', '/r/a/', '/r/a/b/'], true)).toEqual([
      { from: '/r/a/', to: '/r/a0', prefixes: ['/r/a/'] },
      { from: '/r/c/', to: '/r/c0', prefixes: ['/r/c/'] },
    ]);
  });
});
