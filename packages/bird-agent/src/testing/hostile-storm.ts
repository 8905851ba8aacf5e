// Runs the BIRD agent with real etcd and BIRD while hundreds of corrupt values are written. After each batch the agent must be alive, and a changed peer must take effect.
import { hostileWrites } from '@calico-openstack/datamodel/testing/hostile';
import { hostileKinds } from '@calico-openstack/datamodel/testing/hostile-kinds';
import { connectEtcd } from '@calico-openstack/etcd';
import { type Storm, storm } from '@calico-openstack/etcd/testing/storm';
import { relayInto } from '@calico-openstack/kernel/testing/relay';
import { expect } from 'vitest';
import { openWorld, type TestHost, until } from './world.ts';

const kinds = hostileKinds(['nodes', 'bgppeers', 'bgpfilters', 'bgpconfigurations', 'ippools', 'workloadendpoints', 'livemigrations'], 'host-0');

export async function birdUnderHostileValues({ values, batchValues, seed }: Storm): Promise<void> {
  const world = await openWorld(1);
  const { hostname, port } = new URL(world.etcdProcess.endpoint);
  const relay = await relayInto(world.router.namespace, Number(port), hostname);
  const etcd = connectEtcd({ endpoints: [`http://127.0.0.1:${relay.port}`], username: 'root', password: 'root' });
  try {
    const [host] = world.hosts as [TestHost];
    host.startAgent();
    await host.ready();
    await storm(etcd, {
      values,
      batchValues,
      next: hostileWrites(kinds, seed),
      async look(batch) {
        // Removes the values for this host and for all hosts. Then no other value may have an effect.
        for (const name of ['default', 'node.host-0']) await world.remove('bgpconfigurations', name);
        await world.put('nodes', 'host-0', { bgp: { ipv4Address: `${host.host4}/30`, asNumber: 64512 } });
        const neighbor = `198.51.100.${2 + (batch % 200)}`;
        await world.put('bgppeers', 'probe', { peerIP: neighbor, asNumber: 64900 });
        await until(`a session with ${neighbor}\n${host.agentLog().slice(-3000)}`, async () =>
          (await host.bird.ask('show protocols all')).includes(`Neighbor address: ${neighbor}\n`) ? true : undefined,
        );
        expect(host.agentLog()).not.toMatch(/FATAL|a fault of the BIRD agent/);
      },
    });
  } finally {
    etcd.close();
    relay.close();
    await world.close();
  }
}
