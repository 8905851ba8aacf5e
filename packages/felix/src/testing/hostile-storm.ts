// For tests: writes hundreds of hostile values to etcd while Felix runs on a real kernel. After each batch it must be alive and program a change.
import { hostileWrites } from '@calico-openstack/datamodel/testing/hostile';
import { hostileKinds, policyPlurals } from '@calico-openstack/datamodel/testing/hostile-kinds';
import { type Storm, storm } from '@calico-openstack/etcd/testing/storm';
import { expect } from 'vitest';
import { type Plugged, TestHost } from './host.ts';
import { endpointNumber, type resource, securityGroup, workloadEndpoint } from './resources.ts';

/** All kinds that Felix reads, except ClusterInformation, which can rightly pause it. */
const kinds = hostileKinds([...policyPlurals, 'nodes', 'felixconfigurations', 'stagednetworkpolicies']);

/** Runs the storm in a world of its own. */
export async function felixUnderHostileValues({ values, batchValues, seed }: Storm): Promise<void> {
  const host = await TestHost.open();
  try {
    const [sender, receiver] = [await host.plug(endpointNumber(1)), await host.plug(endpointNumber(2))];
    const open = (port: number) => securityGroup('open', [{ action: 'Allow', protocol: 17, destination: { ports: [port] } }]);
    await host.put(open(7000), workloadEndpoint(sender), workloadEndpoint(receiver));
    await host.exec('ip', 'link', 'add', 'taphostile-1', 'type', 'ifb');
    await host.exec('ip', 'link', 'set', 'taphostile-1', 'up');
    host.startAgent();
    await host.untilPasses(sender, receiver, udp(7000));
    const { agent } = host;
    const written = new Set<string>();
    const next = hostileWrites(kinds, seed);
    await storm(host.etcd, {
      values,
      batchValues,
      next: () => {
        const write = next();
        written.add(write.key);
        return write;
      },
      async look(batch) {
        // A route shows that the agent works. Packets would not, because the policies of the storm may rightly deny them.
        const address = `10.66.${(batch >> 8) & 255}.${batch & 255}`;
        await host.put(workloadEndpoint({ ...receiver, addresses: [...receiver.addresses, address] }));
        await host.until(async () => {
          expect([agent?.exitCode, agent?.signalCode], host.output.slice(-3000)).toEqual([null, null]);
          return (await host.exec('ip', 'route', 'show', address)).includes('tap');
        }, `the route to ${address}`);
        await passesWithoutThem(host, [...written], sender, receiver, open(7001 + (batch % 1000)), 7001 + (batch % 1000));
        written.clear();
        expect(host.output).not.toContain('a fault of Felix');
        host.output = '';
      },
    });
  } finally {
    await host.close();
  }
}

const udp = (destinationPort: number) => ({ protocol: 17, destinationPort });

/** Deletes the hostile values, and checks that a changed policy takes effect. */
async function passesWithoutThem(
  host: TestHost,
  keys: readonly string[],
  sender: Plugged,
  receiver: Plugged,
  policy: ReturnType<typeof resource>,
  port: number,
): Promise<void> {
  for (let at = 0; at < keys.length; at += 100) await host.delete(...keys.slice(at, at + 100));
  await host.put(policy);
  await host.untilPasses(sender, receiver, udp(port));
}
