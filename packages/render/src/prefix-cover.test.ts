import { type Cidr, cidrContains, parseCidr } from '@calico-openstack/datamodel';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { coverOf } from './constants.ts';
import { PrefixCover } from './prefix-cover.ts';

const prefix = fc
  .tuple(fc.constantFrom('10.0.0.0', '10.0.0.128', '10.0.1.0', '10.1.0.0', '192.0.2.1'), fc.constantFrom(0, 1, 8, 15, 16, 23, 24, 25, 32))
  .map(([address, length]) => parseCidr(`${address}/${length}`)!);
const steps = fc.array(fc.tuple(fc.boolean(), prefix), { maxLength: 60 });

test('what is shown is always every member that no other member contains, and each change says just what changed', () => {
  fc.assert(
    fc.property(steps, (history) => {
      const cover = new PrefixCover(4);
      const members = new Set<Cidr>();
      const told = new Set<Cidr>();
      for (const [adds, cidr] of history) {
        const { shown, hidden } = adds ? cover.add(cidr) : cover.remove(cidr);
        if (adds) members.add(cidr);
        else members.delete(cidr);
        for (const gone of hidden) expect(told.delete(gone)).toBe(true);
        for (const fresh of shown) expect(told.has(fresh)).toBe(false);
        for (const fresh of shown) told.add(fresh);
        const expected = [...members].filter((member) => ![...members].some((other) => other !== member && cidrContains(other, member)));
        expect([...told].sort()).toEqual(expected.sort());
        expect(cover.shown().sort()).toEqual(expected);
        expect(cover.size).toBe(members.size);
      }
    }),
  );
});

test('an IPv6 prefix hides and bares the ones inside it', () => {
  const cover = new PrefixCover(6);
  const [wide, narrow] = ['2001:db8::/32', '2001:db8:1::/48'] as Cidr[];
  expect(cover.add(narrow!)).toEqual({ shown: [narrow], hidden: [] });
  expect(cover.add(wide!)).toEqual({ shown: [wide], hidden: [narrow] });
  expect(cover.remove(wide!)).toEqual({ shown: [narrow], hidden: [wide] });
});

test('the cover of a list is what is shown of it', () => {
  fc.assert(
    fc.property(fc.array(prefix), (list) => {
      const cover = new PrefixCover(4);
      for (const cidr of list) cover.add(cidr);
      expect(coverOf(list)).toEqual(cover.shown().sort());
    }),
  );
});
