import { expect, test } from 'vitest';
import { Cluster, gone, isNothing, port, security, securityGroup } from './testing/resources.ts';

const web = securityGroup('web', {
  ingress: [
    { action: 'Allow', ipVersion: 4, protocol: 6, source: { selector: `has(${security('db')})` }, destination: { ports: [80] } },
    { action: 'Allow', source: { nets: ['10.9.0.0/16'] } },
  ],
  egress: [{ action: 'Allow' }],
});

test('a security group is a policy in the default tier, its remote group a set', () => {
  const cluster = new Cluster(port(1, { groups: ['web'] }), port(2, { groups: ['db'], host: 'host-2' }), web);
  const id = 'NetworkPolicy/openstack/ossg.default.web';
  expect(cluster.workload(1)?.policy).toEqual({
    ingress: [{ tier: 'default', policies: [id], endAction: 'deny' }],
    egress: [{ tier: 'default', policies: [id], endAction: 'deny' }],
    profiles: [],
  });
  const [first, second] = cluster.rules('ossg.default.web')!;
  expect(cluster.members(first?.source.sets?.[0])).toEqual(['10.0.0.2/32']);
  expect(second).toEqual({ action: 'allow', source: { nets: ['10.9.0.0/16'] }, destination: {} });
  expect(isNothing(cluster.put(port(2, { groups: ['db'], host: 'host-2', annotations: { a: 'b' } })))).toBe(true);
  cluster.put(gone(port(1, {})));
  expect(cluster.state.content()).toEqual(new Cluster().state.content());
});
