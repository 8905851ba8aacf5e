import { type Cidr, cidrContains, parseCidr } from '@calico-openstack/addresses';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { outermostOf } from './constants.ts';
import { OutermostPrefixes } from './outermost-prefixes.ts';

const prefix = fc
  .tuple(fc.constantFrom('10.0.0.0', '10.0.0.128', '10.0.1.0', '10.1.0.0', '192.0.2.1'), fc.constantFrom(0, 1, 8, 15, 16, 23, 24, 25, 32))
  .map(([address, length]) => parseCidr(`${address}/${length}`)!);
const steps = fc.array(fc.tuple(fc.boolean(), prefix), { maxLength: 60 });

test('what is shown is always every member that no other member contains, and each change says just what changed', () => {
  fc.assert(
    fc.property(steps, (history) => {
      const prefixes = new OutermostPrefixes(4);
      const members = new Set<Cidr>();
      const told = new Set<Cidr>();
      for (const [adds, cidr] of history) {
        const { shown, hidden } = adds ? prefixes.add(cidr) : prefixes.remove(cidr);
        if (adds) members.add(cidr);
        else members.delete(cidr);
        for (const gone of hidden) expect(told.delete(gone)).toBe(true);
        for (const fresh of shown) expect(told.has(fresh)).toBe(false);
        for (const fresh of shown) told.add(fresh);
        const expected = [...members].filter((member) => ![...members].some((other) => other !== member && cidrContains(other, member)));
        expect([...told].sort()).toEqual(expected.sort());
        expect(prefixes.shown().sort()).toEqual(expected);
        expect(prefixes.size).toBe(members.size);
      }
    }),
  );
});

test('an IPv6 prefix hides and bares the ones inside it', () => {
  const prefixes = new OutermostPrefixes(6);
  const [wide, narrow] = ['2001:db8::/32', '2001:db8:1::/48'] as Cidr[];
  expect(prefixes.add(narrow!)).toEqual({ shown: [narrow], hidden: [] });
  expect(prefixes.add(wide!)).toEqual({ shown: [wide], hidden: [narrow] });
  expect(prefixes.remove(wide!)).toEqual({ shown: [narrow], hidden: [wide] });
});

test('the outermost prefixes of a list are those that are shown of it', () => {
  fc.assert(
    fc.property(fc.array(prefix), (list) => {
      const prefixes = new OutermostPrefixes(4);
      for (const cidr of list) prefixes.add(cidr);
      expect(outermostOf(list)).toEqual(prefixes.shown().sort());
    }),
  );
});
