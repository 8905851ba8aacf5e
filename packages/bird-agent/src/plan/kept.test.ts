import fc from 'fast-check';
import { expect, test } from 'vitest';
import { keptMap } from './kept.ts';

const elements = Array.from({ length: 8 }, (_, value) => ({ value }));
const lists = fc.array(fc.record({ list: fc.subarray(elements), context: fc.constantFrom('a', 'b') }), { minLength: 1 });

test('whatever came before, the result is that of a plain map', () => {
  fc.assert(
    fc.property(lists, (steps) => {
      const kept = keptMap<{ value: number }, string>();
      for (const { list, context } of steps)
        expect(kept(list, context, ({ value }) => `${context}${value}`)).toEqual(list.map(({ value }) => `${context}${value}`));
    }),
  );
});
test('of a list in which one element is another, came or went, that one alone is made', () => {
  const kept = keptMap<{ value: number }, number>();
  const made: number[] = [];
  const map = (list: readonly { value: number }[]) =>
    kept(list, '', ({ value }) => {
      made.push(value);
      return value;
    });
  const [one, two, three, four] = elements.map(({ value }) => ({ value: value * 10 }));
  const first = map([one!, two!, three!]);
  made.length = 0;
  expect(map([one!, two!, three!])).toBe(first);
  map([one!, four!, three!]);
  map([one!, three!]);
  map([one!, two!, three!]);
  expect(made).toEqual([30, 10]);
});
