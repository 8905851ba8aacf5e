// A cloud whose hosts and driver know etcd only by its own grpc-proxy.
import { expect, test } from 'vitest';
import { soak } from '../soak.ts';
import { ping } from '../traffic.ts';
import { addressOf, everything, groupOf, labOfThisFile, vmOn } from './world.ts';

const world = labOfThisFile('proxy', { hosts: 2, grpcProxy: true, reporting: { intervalSeconds: 2, ttlSeconds: 20, agentDownSeconds: 30 } });

test('it is quiet where nothing happens; proxy, etcd and both killed, nothing is lost, no status and no election is gone, and changes come through', async () => {
  const group = await groupOf(world.lab, ...everything('egress'), ...everything('ingress'));
  const [one, other] = await Promise.all([1, 2].map((host) => vmOn(world, host, { name: `vm${host}`, securityGroups: [group.id] })));
  // Quiet at first for longer than the 24 s after which the proxy would cut off who pings it; then both are killed, and etcd alone.
  const report = await soak(world.lab, world.network, { seconds: 50, quietSeconds: 28, awaySeconds: 2 }, () => {});
  expect(report.troubles).toEqual([]);
  expect(report.kills).toBeGreaterThanOrEqual(2);
  expect(await ping(world.lab, one!, addressOf(other!, 4), { count: 2 })).toMatchObject({ received: 2 });
});
