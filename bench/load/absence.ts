// The datastore changes while the agent does not hear of it, and is compacted: the agent gets one difference.
import { securityGroup } from '@calico-openstack/felix/testing/resources';
import type { Measurement } from '../bench.ts';
import { elsewhere } from './burst.ts';
import type { LoadedHost } from './loaded-host.ts';

/** Half of the members of a group leave, and as many others come. */
export async function absence(loaded: LoadedHost, size: number): Promise<readonly Measurement[]> {
  const { host } = loaded;
  await host.put(
    securityGroup('other', [{ action: 'Allow', source: { selector: "role == 'member'" } }]),
    ...Array.from({ length: size }, (_, number) => elsewhere(number, number < size / 2 ? 'member' : 'none')),
  );
  await loaded.start();
  const agent = host.agent!;
  agent.kill('SIGSTOP');
  await host.etcdProcess.kill();
  await host.etcdProcess.restart();
  const tookMs = await loaded.untilArrivesMs(loaded.sender, loaded.target, 7999, async () => {
    await host.put(...Array.from({ length: size }, (_, number) => elsewhere(number, number < size / 2 ? 'none' : 'member')));
    await host.put(securityGroup('open', [{ action: 'Allow', protocol: 'TCP', destination: { ports: [7999] } }]));
    const { revision } = await host.etcd.range('/calico/none/');
    await host.etcd.compact(revision);
    agent.kill('SIGCONT');
  });
  return [{ metric: 'changes written, agent continued → packet, ms', value: Math.round(tookMs) }];
}
