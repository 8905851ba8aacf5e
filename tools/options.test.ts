import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { expect, test } from 'vitest';
import { optionLists, withList } from './options.ts';

test.each(optionLists.map(({ readme, list }) => [relative('.', readme), readme, list] as const))(
  'the options in %s are those of the table (npm run options)',
  (_, readme, list) => {
    const text = readFileSync(readme, 'utf8');
    expect(text).toBe(withList(text, list));
  },
);

test('another list would be noticed, and a README without a place for it refused', () => {
  const text = readFileSync(optionLists[0]!.readme, 'utf8');
  expect(withList(text, '| another |')).not.toBe(text);
  expect(() => withList('# felix', '')).toThrow('has no lines');
});
