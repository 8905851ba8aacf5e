// Finds out whether the datastore has endpoints or a Node for this host under a similar name.
import type { FoundNames } from '@calico-openstack/agent';
import { findNamesakes, findNodeNamesakes } from '@calico-openstack/datamodel';
import { EtcdError, type EtcdReads } from '@calico-openstack/etcd';
import type { Config } from './option-table.ts';

/** The option that sets the host's name, for messages. */
export const hostOption = 'Hostname in bird-agent.cfg';

/**
 * The hosts whose names differ from this host's only in case or domain. The rights of a BIRD agent cover all Nodes, but no other host's endpoints. When those cannot be read, only the Nodes
 * count.
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
