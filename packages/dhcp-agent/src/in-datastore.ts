// Reads what the datastore has for this host's DHCP agent, for `--check-config`.
import { type InDatastore, namesakeComplaints } from '@calico-openstack/agent';
import { findNamesakes, hostEndpointsPrefix, type Namesakes, subnetPrefix, workloadEndpointNamePrefix } from '@calico-openstack/datamodel';
import { EtcdError, type EtcdReads, readOnce } from '@calico-openstack/etcd';
import type { AgentOptions } from './option-table.ts';

/** The option that sets the host's name, for messages. */
export const hostOption = '[DEFAULT] host in neutron.conf';

type Place = Pick<AgentOptions, 'host' | 'region'>;

/** Describes what the agent would serve. Writes nothing. @throws EtcdError when etcd does not answer or refuses */
export const readDhcpDatastore = (options: Place & Pick<AgentOptions, 'etcd'>): Promise<InDatastore> =>
  readOnce(options.etcd, (etcd) => inDatastore(options, etcd));

/** Describes what the agent would serve according to this datastore. Rejects with EtcdError. */
export async function inDatastore({ host, region }: Place, etcd: Pick<EtcdReads, 'range'>): Promise<InDatastore> {
  const keysWith = async (prefix: string) => (await etcd.range(prefix, { keysOnly: true })).found.map(({ key }) => key);
  const [endpoints, subnets] = await Promise.all([keysWith(hostEndpointsPrefix(region, workloadEndpointNamePrefix(host))), keysWith(subnetPrefix(region))]);
  const names = await findNamesakes(region, host, keysWith).catch(withoutRight);
  return { lines: [`${endpoints.length} endpoints and ${subnets.length} subnets (etcd)`], complaints: namesakeComplaints({ host, option: hostOption }, names) };
}

/** An agent with the least rights cannot read other hosts' endpoints. Felix, which can, looks for other names of the host too. */
function withoutRight(error: unknown): Namesakes {
  if (error instanceof EtcdError && error.code === 'ETCD_DENIED') return { own: false, others: [] };
  throw error;
}
