// Runs the DHCP agent with a real etcd, Dnsmasq and clients while hundreds of corrupt values are written. After each batch the agent must be alive and serve a changed port.
import { subnetPrefix } from '@calico-openstack/datamodel';
import { hostileWrites } from '@calico-openstack/datamodel/testing/hostile';
import { hostileKinds, hostileSubnet } from '@calico-openstack/datamodel/testing/hostile-kinds';
import { connectEtcd } from '@calico-openstack/etcd';
import { type Storm, storm } from '@calico-openstack/etcd/testing/storm';
import { relayInto } from '@calico-openstack/kernel/testing/relay';
import { expect } from 'vitest';
import { leaseOnce } from './clients.ts';
import { hostName, type TestPort } from './etcd-values.ts';
import { openWorld } from './world.ts';

const kinds = [
  ...hostileKinds(['workloadendpoints'], hostName),
  { prefix: subnetPrefix(undefined), names: ['hostile-0', 'hostile-1'], examples: [hostileSubnet] },
];

const port = (address: string): TestPort => ({
  id: 'port-1',
  tap: 'tap00000001-aa',
  mac: 'fa:16:3e:00:00:01',
  networkId: 'net-a',
  addresses: [address],
});

export async function dhcpUnderHostileValues({ values, batchValues, seed }: Storm): Promise<void> {
  const world = await openWorld();
  const relay = await relayInto(world.namespace, world.etcd.clientPort);
  const etcd = connectEtcd({ endpoints: [`http://127.0.0.1:${relay.port}`], username: 'root', password: 'root' });
  try {
    world.guest('taphostile-1', { mac: 'fa:16:3e:20:00:01' });
    await world.startAgent();
    await world.putSubnets();
    await world.until('Dnsmasq runs', () => world.runs());
    const guest = world.guest(port('').tap, { mac: port('').mac });
    const next = hostileWrites(kinds, seed);
    await storm(etcd, {
      values,
      batchValues,
      next,
      async look(batch) {
        const address = `10.65.0.${20 + (batch % 200)}`;
        await world.putPort(port(address));
        const isServed = (): boolean => {
          expect([world.agent().exitCode, world.agent().signalCode], world.log().slice(-3000)).toEqual([null, null]);
          return world.host('find', `${world.directory}/state/dhcp`, '-name', `*${port('').tap}*`, '-exec', 'grep', '-h', address, '{}', ';') !== '';
        };
        await world.until(`${address} is in Dnsmasq's files`, isServed);
        expect((await leaseOnce(guest))['ip']).toBe(address);
        expect(world.logged('a fault of the DHCP agent')).toBe(false);
      },
    });
  } finally {
    etcd.close();
    relay.close();
    await world.close();
  }
}
