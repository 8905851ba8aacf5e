import fc from 'fast-check';
import { expect, test } from 'vitest';
import { keptFlatMap, keptRuns } from './kept.ts';

type Element = { readonly name: string };
const elements: readonly Element[] = Array.from({ length: 500 }, (_, number) => ({ name: `host-${number}` }));
const nameOf = ({ name }: Element): string => name;
const lists = fc.array(fc.record({ list: fc.subarray([...elements]), context: fc.constantFrom('a', 'b') }), { minLength: 1 });

test('whatever came before, the result is that of a plain flatMap', () => {
  fc.assert(
    fc.property(lists, (steps) => {
      const kept = keptFlatMap<Element, string>(nameOf);
      for (const { list, context } of steps) {
        const make = ({ name }: Element): readonly string[] => (name.endsWith('7') ? [] : [`${context} ${name}`, name]);
        expect(kept(list, context, make)).toEqual(list.flatMap(make));
      }
    }),
    { numRuns: 50 },
  );
});

const cut = (runs: ReturnType<typeof keptRuns<Element, Element, readonly Element[]>>, list: readonly Element[]) =>
  runs(
    list,
    '',
    (element) => element,
    (made) => made,
  );

test('whatever came before, a list is cut in the same places', () => {
  fc.assert(
    fc.property(lists, (steps) => {
      const kept = keptRuns<Element, Element, readonly Element[]>(nameOf);
      for (const { list } of steps) expect(cut(kept, list)).toEqual(cut(keptRuns(nameOf), list));
    }),
    { numRuns: 50 },
  );
});

test('of a list in which one element is another, came or went, that one alone is made, and its run alone is gathered', () => {
  const kept = keptRuns<Element, number, number>(nameOf);
  const count = (list: readonly Element[]): { readonly made: number; readonly gathered: number } => {
    let [made, gathered] = [0, 0];
    kept(
      list,
      '',
      () => (made += 1),
      () => (gathered += 1),
    );
    return { made, gathered };
  };
  expect(count(elements).gathered).toBeGreaterThan(3);
  expect(count(elements)).toEqual({ made: 0, gathered: 0 });
  const [middle, last] = [250, elements.length - 1];
  expect(count(elements.with(middle, { name: elements[middle]!.name }))).toEqual({ made: 1, gathered: 1 });
  expect(count(elements)).toEqual({ made: 1, gathered: 1 });
  expect(count(elements.toSpliced(middle, 1))).toEqual({ made: 0, gathered: 1 });
  expect(count(elements)).toEqual({ made: 1, gathered: 1 });
  expect(count(elements.with(0, { name: elements[0]!.name }).with(last, { name: elements[last]!.name }))).toEqual({ made: 2, gathered: 2 });
});
