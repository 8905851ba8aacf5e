// Neutron's servers beside its API: for RPC and for periodic work. They load the driver, too.
import { expect } from 'vitest';
import { until } from '../../../../lab/wait.ts';
import type { Cloud } from './cloud.ts';
import { childrenOf } from './several-servers.ts';

/** Runs Neutron's other servers beside the API, which has bound a port before. Rejects when one of them fails, when it does not load the driver, or when a change of a port is written to etcd more than once. */
export async function besideOtherServers(cloud: Cloud, createPort: () => Promise<{ readonly id: string }>): Promise<void> {
  const { etcd, neutron } = cloud.lab;
  const written = async (port: string): Promise<number> => {
    const { kvs = [] } = JSON.parse(await etcd.ctl('get', '--prefix', '/calico/resources/v3/projectcalico.org/workloadendpoints/', '-w', 'json')) as {
      kvs?: { value: string; version: number }[];
    };
    const ofPort = kvs.filter(({ value }) => JSON.parse(Buffer.from(value, 'base64').toString()).spec.endpoint === port);
    expect(ofPort).toHaveLength(1);
    return ofPort[0]!.version;
  };
  try {
    await Promise.all(neutron.workers.map((server) => server.start()));
    for (const server of neutron.workers) {
      // Neutron 26 does its periodic work in threads.
      const hasWorkers = (): boolean => server.name.endsWith('periodic-workers') || childrenOf(server.pid()).length > 0;
      const works = (): boolean => server.said().includes("Registered mechanism drivers: ['calico']") && hasWorkers();
      await until(`workers of ${server.name}`, () => works() || undefined, { timeoutMs: 300_000 });
    }
    await cloud.named(); // so the daemon knows the project's name, and does not write the port again because of it
    const { id } = await createPort();
    expect(await written(id)).toBe(1);
    await cloud.openstack.update('port', id, { dns_name: 'changed' });
    expect(await written(id)).toBe(2);
    await cloud.settled();
    expect(await written(id)).toBe(2);
    for (const server of neutron.workers) {
      expect(server.pid(), `${server.name} has ended: ${server.said().slice(-2000)}`).toBeDefined();
      expect(server.said()).not.toMatch(/ (ERROR|CRITICAL) |Traceback/);
    }
  } finally {
    for (const server of neutron.workers) server.kill('SIGKILL');
    await Promise.all(neutron.workers.map((server) => server.ended()));
  }
}
