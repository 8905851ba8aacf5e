import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SmallMap, SmallSet } from './small.ts';

const key = fc.constantFrom('a', 'b', 'c');
const steps = fc.array(fc.oneof(fc.record({ set: key, value: fc.nat(3) }), fc.record({ delete: key })), { maxLength: 12 });

test('a small map is a map, whatever was set and deleted', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const [small, map] = [new SmallMap<string, number>(), new Map<string, number>()];
      for (const step of all) {
        if ('set' in step) for (const each of [small, map]) each.set(step.set, step.value);
        else expect(small.delete(step.delete)).toBe(map.delete(step.delete));
        expect([small.size, [...small.values()], ['a', 'b', 'c'].map((name) => small.get(name))]).toEqual([
          map.size,
          [...map.values()],
          ['a', 'b', 'c'].map((name) => map.get(name)),
        ]);
      }
    }),
  );
});

test('a small set is a set, whatever was added and deleted', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const [small, set] = [new SmallSet<string>(), new Set<string>()];
      for (const step of all) {
        if ('set' in step) for (const each of [small, set]) each.add(step.set);
        else expect(small.delete(step.delete)).toBe(set.delete(step.delete));
        expect([small.size, [...small]]).toEqual([set.size, [...set]]);
      }
    }),
  );
});
