import type { IpAddress } from '@calico-openstack/addresses';
import { expect, test } from 'vitest';
import { formerLeases } from './former-leases.ts';
import type { Lease } from './leases.ts';

test('leases that cannot be read are read once, and again when they are outdated', () => {
  const address = '10.65.0.11' as IpAddress;
  let readings = 0;
  let leases: readonly Lease[] | undefined;
  const former = formerLeases(() => {
    readings += 1;
    if (!leases) throw new Error('still being written');
    return leases;
  }, new Map());
  for (const _ of ['one port', 'the next']) expect(() => former.macsOf([address])).toThrow('still being written');
  expect(readings).toBe(1);
  leases = [{ address, mac: 'fa:16:3e:00:00:01' }];
  former.outdated();
  expect([former.macsOf([address]), readings]).toEqual([['fa:16:3e:00:00:01'], 2]);
});
