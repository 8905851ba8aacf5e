// A cloud whose hosts and driver reach etcd only through its own grpc-proxy.
import { expect, test } from 'vitest';
import { soak } from '../soak.ts';
import { ping } from '../traffic.ts';
import { addressOf, everything, groupOf, labOfThisFile, untilTheyTalk, vmOn } from './world.ts';

const world = labOfThisFile('proxy', { hosts: 2, grpcProxy: true, reporting: { intervalSeconds: 2, ttlSeconds: 20, agentDownSeconds: 30 } });

test('the cloud is quiet when idle; when the proxy, etcd or both are killed, nothing is lost, no status or election vanishes, and changes arrive', async () => {
  const group = await groupOf(world.lab, ...everything('egress'), ...everything('ingress'));
  const [one, other] = await Promise.all([1, 2].map((host) => vmOn(world, host, { name: `vm${host}`, securityGroups: [group.id] })));
  await untilTheyTalk(world, [one!, other!], [4]);
  // The first quiet time is longer than the 24 s after which the proxy would cut off clients that ping it. Then both are killed, then etcd alone.
  const report = await soak(world.lab, world.network, { durationMs: 50_000, leastKills: 2, quietMs: 28_000, awayMs: 2_000 }, () => {});
  expect(report.troubles).toEqual([]);
  expect(await ping(world.lab, one!, addressOf(other!, 4), { count: 2, timeoutMs: 5_000 })).toMatchObject({ received: 2 });
});
