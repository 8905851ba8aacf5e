import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type AddressClaim, compareClaims } from './ownership.ts';

const claim = (kind: AddressClaim['kind'], createdMs: number, id: string): AddressClaim => ({ kind, createdMs, id });

test.each<[string, AddressClaim, AddressClaim]>([
  ['a fixed address beats an older pair', claim('fixed', 9, 'b'), claim('pair', 1, 'a')],
  ['of two pairs, the older endpoint owns it', claim('pair', 1, 'b'), claim('pair', 2, 'a')],
  ['of two endpoints of the same age, the lower id owns it', claim('fixed', 1, 'a'), claim('fixed', 1, 'b')],
  ['an endpoint without an age is the youngest', claim('fixed', 1, 'b'), claim('fixed', Number.POSITIVE_INFINITY, 'a')],
  ['of two endpoints without an age, the lower id owns it', claim('pair', Number.POSITIVE_INFINITY, 'a'), claim('pair', Number.POSITIVE_INFINITY, 'b')],
])('%s', (_, winner, loser) => {
  expect(compareClaims(winner, loser)).toBeLessThan(0);
  expect(compareClaims(loser, winner)).toBeGreaterThan(0);
});

test('the first of any claims is the same in whichever order they are compared', () => {
  const claims = fc.record({
    kind: fc.constantFrom('fixed' as const, 'pair' as const),
    createdMs: fc.constantFrom(1, 2, Number.POSITIVE_INFINITY),
    id: fc.string(),
  });
  fc.assert(
    fc.property(fc.uniqueArray(claims, { selector: ({ id }) => id, minLength: 1 }), (several) => {
      const [first] = [...several].sort(compareClaims);
      expect([...several].reverse().sort(compareClaims)[0]).toBe(first);
    }),
  );
});
