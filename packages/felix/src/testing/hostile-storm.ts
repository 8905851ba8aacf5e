// Felix on a real etcd and kernel while values that nobody should write come in by the hundred: after each batch it must live, and do what is asked of it.
import { hostileWrites } from '@calico-openstack/datamodel/testing/hostile';
import { hostileKinds, policyPlurals } from '@calico-openstack/datamodel/testing/hostile-kinds';
import { type Storm, storm } from '@calico-openstack/etcd/testing/storm';
import { expect } from 'vitest';
import { type Plugged, TestHost } from './host.ts';
import { endpointNumber, type resource, securityGroup, workloadEndpoint } from './resources.ts';

/** All that Felix reads, but ClusterInformation, by which an operator pauses it. */
const kinds = hostileKinds([...policyPlurals, 'nodes', 'felixconfigurations', 'stagednetworkpolicies']);

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
        // Whatever policies say by then, which may rightly deny this: the address that an endpoint gets is routed.
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

/** With the hostile values taken away again, a changed policy is in force as if they had never been. */
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
