// Runs the driver with a real Neutron while hundreds of corrupt values are written to etcd. After each batch the driver must be alive, write a changed port and pass a report to Neutron.
import { felixStatusRoot, resourceKey, workloadEndpointName } from '@calico-openstack/datamodel';
import { hostileWrites } from '@calico-openstack/datamodel/testing/hostile';
import { hostileKinds } from '@calico-openstack/datamodel/testing/hostile-kinds';
import { connectEtcd } from '@calico-openstack/etcd';
import { type Storm, storm } from '@calico-openstack/etcd/testing/storm';
import { relayInto } from '@calico-openstack/kernel/testing/relay';
import { expect } from 'vitest';
import { until } from '../../../../lab/wait.ts';
import type { Cloud } from './cloud.ts';

type Port = { readonly id: string; readonly device: string };

const numbered = (count: number, make: (index: number) => string): string[] => Array.from({ length: count }, (_, index) => make(index));

/** Status reports, and values among the driver's own keys: under names that Neutron does not know, and under those of an existing port. */
const kindsAround = (port: Port) => [
  {
    prefix: felixStatusRoot(undefined),
    names: [
      ...numbered(5, (index) => `hostile-${index}/status`),
      ...numbered(5, (index) => `hostile-${index}/workload/openstack/openstack%2fvm/endpoint/hostile-${index}`),
      `hostile-1/workload/openstack/openstack%2f${port.device}/endpoint/${port.id}`,
      'hostile-1/workload/openstack/openstack%2fvm/endpoint/\0\u{1f600}',
    ],
    examples: [{ time: '2026-11-24T00:00:00Z', uptime: 1.5, first_update: true }, { status: 'up' }, { status: 'error' }],
  },
  ...hostileKinds(['workloadendpoints', 'networkpolicies', 'networksets', 'livemigrations', 'nodes']),
];

/**
 * Runs the storm, and deletes its values afterwards.
 * @param port a port that is bound to `cmp-1`
 */
export async function driverUnderHostileValues(cloud: Cloud, port: Port, { values, batchValues, seed }: Storm): Promise<void> {
  const { control } = cloud.lab.plan;
  const relay = await relayInto(control.namespace, 2379, control.link.machine4);
  const etcd = connectEtcd({ endpoints: [`http://127.0.0.1:${relay.port}`], ...cloud.lab.etcd.administrator });
  const pid = cloud.lab.driver!.pid();
  const next = hostileWrites(kindsAround(port), seed);
  const written = new Set<string>();
  try {
    await storm(etcd, {
      values,
      batchValues,
      next() {
        const write = next();
        written.add(write.key);
        return write;
      },
      async look(batch) {
        const device = `6f1caa00-0000-4000-8001-${String(batch).padStart(12, '0')}`;
        await cloud.openstack.update('port', port.id, { device_id: device });
        const name = workloadEndpointName({ host: 'cmp-1', orchestrator: 'openstack', workload: device, endpoint: port.id });
        const key = resourceKey({ plural: 'workloadendpoints', namespace: 'openstack', name });
        await until('the changed port in etcd', async () => (await etcd.get(key)).found);
        await cloud.portReport('cmp-1', device, port.id, batch % 2 ? 'down' : 'up');
        await cloud.portBecomes(port.id, batch % 2 ? 'DOWN' : 'ACTIVE');
        expect(cloud.lab.driver!.pid()).toBe(pid);
        expect(cloud.lab.driver!.said()).not.toContain('a fault of the driver');
      },
    });
    const left = [...written];
    for (let at = 0; at < left.length; at += 100)
      await etcd.transact(
        [],
        left.slice(at, at + 100).map((key) => ({ delete: key })),
      );
  } finally {
    etcd.close();
    relay.close();
  }
}
