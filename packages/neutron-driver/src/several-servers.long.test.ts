import { afterAll, beforeAll, test } from 'vitest';
import { bringUpCloud, type Cloud } from './testing/cloud.ts';
import { type Fault, severalServers } from './testing/several-servers.ts';

/** How long tenants change the cloud. */
const minutes = Number(process.env['SEVERAL_SERVERS_MINUTES'] ?? 20);
const round: readonly Fault[] = [
  ...(['depose', 'kill a driver', 'wait', 'kill a worker', 'kill a member of etcd'] as const),
  ...(['wait', 'outlast', 'kill a driver', 'kill a worker', 'wait'] as const),
];

let cloud: Cloud;
beforeAll(async () => {
  cloud = await bringUpCloud(`ns${process.pid % 10_000}`, { etcdMembers: 3 });
  for (const host of ['cmp-1', 'cmp-2']) await cloud.felixReports(host);
});
afterAll(() => cloud?.lab.down());

test('three servers that are delayed, stopped past their leases and killed for a long time end with what Neutron holds, and never allow more', async () => {
  const options = { changes: 40, faults: round, minutes, progress: (line: string) => console.log(line) };
  const report = await severalServers(cloud, options);
  console.log(JSON.stringify(report));
});
