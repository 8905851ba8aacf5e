import { expect, test } from 'vitest';
import { networkSetContent } from './address-group.ts';

test('an address group is its prefixes, sorted, each once, under its label', () => {
  expect(
    networkSetContent({ id: 'cc33', name: 'our offices!', addresses: ['192.0.2.0/24', '10.0.0.5/8', '192.0.2.0/24', '2001:DB8::/32', 'ten'] }, 'openstack'),
  ).toEqual({
    kind: 'NetworkSet',
    name: 'osag.cc33',
    namespace: 'openstack',
    labels: { 'ag.projectcalico.org/openstack-cc33': 'our_offices' },
    spec: { nets: ['10.0.0.0/8', '192.0.2.0/24', '2001:db8::/32'] },
  });
});
