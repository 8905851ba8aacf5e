// Whether the datastore knows this host under another name too, by its endpoints or its Node.
import type { FoundNames } from '@calico-openstack/agent';
import { findNamesakes, findNodeNamesakes } from '@calico-openstack/datamodel';
import { EtcdError, type EtcdReads } from '@calico-openstack/etcd';
import type { Config } from './option-table.ts';

/** The option that sets the host's name, for messages. */
export const hostOption = 'Hostname in bird-agent.cfg';

/**
 * The hosts that are called like this one but for case or domain. The rights of a BIRD agent cover all Nodes, and no other host's endpoints; where those cannot be read, the Nodes count
 * alone.
 * @throws EtcdError when the Nodes cannot be read
 */
export async function namesakesOf(
  etcd: Pick<EtcdReads, 'range'>,
  { OpenstackRegion, Hostname }: Pick<Config, 'OpenstackRegion' | 'Hostname'>,
): Promise<FoundNames> {
  const keysWith = async (prefix: string) => (await etcd.range(prefix, { keysOnly: true })).found.map(({ key }) => key);
  const nodes = await findNodeNamesakes(Hostname, keysWith);
  try {
    const { own, others } = await findNamesakes(OpenstackRegion, Hostname, keysWith);
    return { own, others: [...new Set([...others, ...nodes])] };
  } catch (error) {
    if (error instanceof EtcdError) return { own: false, others: nodes };
    throw error;
  }
}
