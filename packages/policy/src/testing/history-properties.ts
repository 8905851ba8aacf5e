// The properties of histories, used by the short and the long tests.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { anyContent, anyEntry } from './random.ts';
import { Cluster, type Entry, isNothing } from './resources.ts';

export type Size = { readonly runs: number; readonly steps: number; readonly timeoutMs: number };

/** The content of the datastore at the end of a history. */
const contentOf = (history: readonly Entry[]): Entry[] => [...new Map(history)].filter(([, value]) => value !== undefined);

export function historyProperties({ runs, steps, timeoutMs }: Size): void {
  const changes = fc.array(fc.array(anyEntry, { maxLength: 5 }), { maxLength: steps, size: 'max' });
  const batches = fc.tuple(anyContent, changes).map(([first, rest]): readonly (readonly Entry[])[] => [first, ...rest]);

  test(
    'any history in any batches ends where its final content, told in any order, begins',
    () => {
      fc.assert(
        fc.property(batches, fc.infiniteStream(fc.nat()), (history, chance) => {
          const lived = new Cluster();
          for (const batch of history) lived.put(...batch);
          const content = contentOf(history.flat());
          const shuffled = content
            .map((entry) => [chance.next().value as number, entry] as const)
            .sort(([one], [other]) => one - other)
            .map(([, entry]) => entry);
          const fresh = new Cluster(...shuffled);
          expect(lived.state.content()).toEqual(fresh.state.content());
          expect(lived.defects).toEqual(fresh.defects);
          expect(isNothing(lived.put(...content)), 'repeated, it changes nothing').toBe(true);
          lived.put(...content.map(([key]): Entry => [key, undefined]));
          expect(lived.state.content()).toEqual(new Cluster().state.content());
          expect(lived.defects.size).toBe(0);
        }),
        { numRuns: runs },
      );
    },
    timeoutMs,
  );
}
