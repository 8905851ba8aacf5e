import { afterAll, beforeAll, test } from 'vitest';
import { bringUpCloud, type Cloud } from './testing/cloud.ts';
import { type Fault, severalServers } from './testing/several-servers.ts';

/** For how many rounds of faults, of about a minute and a half each. `SEVERAL_SERVERS_ROUNDS=3` makes it shorter. */
const rounds = Number(process.env['SEVERAL_SERVERS_ROUNDS'] ?? 14);
const round: readonly Fault[] = ['depose', 'kill a driver', 'wait', 'kill a worker', 'wait', 'outlast', 'kill a driver', 'kill a worker', 'wait'];

let cloud: Cloud;
beforeAll(async () => {
  cloud = await bringUpCloud(`ns${process.pid % 10_000}`);
  for (const host of ['cmp-1', 'cmp-2']) await cloud.felixReports(host);
});
afterAll(() => cloud?.lab.down());

test('three servers that are delayed, stopped past their leases and killed for a long time end with what Neutron holds, and never allow more', async () => {
  const faults = Array.from({ length: rounds }, () => round).flat();
  const report = await severalServers(cloud, { changes: 40 * rounds, faults, progress: (line) => console.log(line) });
  console.log(JSON.stringify(report));
});
