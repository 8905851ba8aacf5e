// Checks whether the datastore has endpoints or a Node of this host under another name.
import type { FoundNames } from '@calico-openstack/agent';
import { findNamesakes, findNodeNamesakes } from '@calico-openstack/datamodel';
import type { EtcdReads } from '@calico-openstack/etcd';
import type { FelixConfig } from './option-table.ts';

/** This host's name, and the option that sets it, for messages. */
export const hostNamed = ({ FelixHostname }: Pick<FelixConfig, 'FelixHostname'>) => ({ host: FelixHostname, option: 'FelixHostname in felix.cfg' });

/** The hosts whose names differ from this host's only in case or domain. @throws EtcdError when they cannot be read */
export async function namesakesOf(
  etcd: Pick<EtcdReads, 'range'>,
  { OpenstackRegion, FelixHostname }: Pick<FelixConfig, 'OpenstackRegion' | 'FelixHostname'>,
): Promise<FoundNames> {
  const keysWith = async (prefix: string) => (await etcd.range(prefix, { keysOnly: true })).found.map(({ key }) => key);
  const [endpoints, nodes] = await Promise.all([findNamesakes(OpenstackRegion, FelixHostname, keysWith), findNodeNamesakes(FelixHostname, keysWith)]);
  return { own: endpoints.own, others: [...new Set([...endpoints.others, ...nodes])] };
}
