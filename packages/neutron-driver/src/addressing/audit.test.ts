import type { Cidr } from '@calico-openstack/addresses';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { plainAddresses } from '../testing/settings.ts';
import { subnetsRefused } from './audit.ts';
import { meets, spanOf } from './span.ts';

test('exactly the subnets that overlap another one are listed, as a comparison of all pairs finds them', () => {
  const subnet = fc.tuple(fc.integer({ min: 0, max: 31 }), fc.integer({ min: 27, max: 32 })).map(([last, length]) => {
    const size = 2 ** (32 - length);
    return `10.0.0.${Math.floor(last / size) * size}/${length}`;
  });
  fc.assert(
    fc.property(fc.array(subnet, { maxLength: 8 }), (cidrs) => {
      const places = cidrs.map((cidr, index) => ({ id: `s${index}`, cidr, gatewayIp: undefined }));
      const naive = places.filter((one) => places.some((other) => other !== one && meets(spanOf(one.cidr as Cidr), spanOf(other.cidr as Cidr))));
      expect(subnetsRefused(places, plainAddresses).map(({ id }) => id)).toEqual(naive.map(({ id }) => id));
    }),
  );
});

test('a gateway outside of its own subnet, in another, is listed with it', () => {
  const places = [
    { id: 'a', cidr: '10.1.0.0/24', gatewayIp: '10.2.0.5' },
    { id: 'b', cidr: '10.2.0.0/24', gatewayIp: '10.2.0.1' },
  ];
  expect(subnetsRefused(places, plainAddresses)).toEqual([
    { kind: 'subnet', id: 'a', what: "the subnet's gateway 10.2.0.5 overlaps 10.2.0.0/24, another subnet's prefix (subnet b)" },
  ]);
});

test('allowed overlaps are not listed', () => {
  const places = ['a', 'b'].map((id) => ({ id, cidr: '10.1.0.0/24', gatewayIp: undefined }));
  const lenient = { ...plainAddresses, policy: { ...plainAddresses.policy, addressOverlaps: 'warn' as const } };
  expect(subnetsRefused(places, plainAddresses)).toHaveLength(2);
  expect(subnetsRefused(places, lenient)).toEqual([]);
});
