import { decoded, refused } from '@calico-openstack/datamodel';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Node } from './node.ts';
import { addressesOf, createNodeIndex } from './node-index.ts';

const node = (name: string, four: number | undefined, six: number | undefined): Node => ({
  name,
  labels: {} as Node['labels'],
  madeMs: undefined,
  claimedMs: 0,
  addresses: {
    4: four === undefined ? undefined : ({ address: `192.0.2.${four}`, network: '192.0.2.0/24' } as never),
    6: six === undefined ? undefined : ({ address: `2001:db8::${six}`, network: '2001:db8::/64' } as never),
  },
  asNumber: undefined,
  routeReflectorClusterId: undefined,
});
const names = ['b', 'a', 'd', 'c', 'a-1', 'B'];
const number = fc.option(fc.nat(3), { nil: undefined });
const changes = fc.array(fc.record({ name: fc.constantFrom(...names), kind: fc.constantFrom('valid', 'invalid', 'gone'), four: number, six: number }));

test('after any changes it is what the Nodes that are left make of it', () => {
  fc.assert(
    fc.property(changes, (steps) => {
      const index = createNodeIndex();
      const nodes = new Map<string, ReturnType<typeof decoded<Node>> | ReturnType<typeof refused>>();
      for (const { name, kind, four, six } of steps) {
        const after = kind === 'valid' ? decoded(node(name, four, six)) : kind === 'invalid' ? refused(`no ${four}`) : undefined;
        index.replace(name, nodes.get(name), after);
        if (after) nodes.set(name, after);
        else nodes.delete(name);
      }
      const valid = [...nodes.values()].flatMap((each) => (each.ok ? [each.value] : [])).sort((a, b) => (a.name < b.name ? -1 : 1));
      expect(index.sorted).toEqual(valid);
      expect([...index.invalid.keys()].sort()).toEqual([...nodes].flatMap(([name, { ok }]) => (ok ? [] : [name])).sort());
      const addresses = [...new Set(valid.flatMap(addressesOf))].sort();
      expect([...index.claimants.keys()].sort()).toEqual(addresses);
      for (const address of addresses) {
        const naming = valid.filter((each) => addressesOf(each).includes(address));
        expect(index.claimants.get(address)).toEqual(new Set(naming));
        expect(index.contested.has(address)).toBe(naming.length > 1);
      }
    }),
  );
});
