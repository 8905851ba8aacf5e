// Reads Felix's parameters from the datastore, for `--check-config`.
import { etcdOfCfg, type InDatastore, namesakeComplaints, type Source } from '@calico-openstack/agent';
import { resourceKey, resourcePrefix } from '@calico-openstack/datamodel';
import { type EtcdReads, readOnce } from '@calico-openstack/etcd';
import { hostNamed, namesakesOf } from './namesakes.ts';
import { createSettingsKeeper } from './settings.ts';

/**
 * The parameters as a running Felix would have them: FelixConfigurations count in their order of precedence. Writes nothing.
 * @param local the sources on this host, in order of precedence
 * @throws EtcdError when etcd does not answer or refuses; StartError when these sources do not let Felix start
 */
export const readFelixDatastore = (local: readonly Source[]): Promise<InDatastore> =>
  readOnce(etcdOfCfg(createSettingsKeeper(local).settings.config), (etcd) => inDatastore(local, etcd));

/** The parameters according to this datastore. @throws EtcdError */
export async function inDatastore(local: readonly Source[], etcd: Pick<EtcdReads, 'get' | 'range'>): Promise<InDatastore> {
  const keeper = createSettingsKeeper(local);
  const { FelixHostname: host } = keeper.settings.config;
  const single = [resourceKey({ plural: 'clusterinformations', name: 'default' }), resourceKey({ plural: 'nodes', name: host })];
  const [configurations, ...others] = await Promise.all([etcd.range(resourcePrefix('felixconfigurations')), ...single.map((key) => etcd.get(key))]);
  for (const found of [...configurations.found, ...others.map(({ found }) => found)]) if (found) keeper.update(found.key, found.value);
  const { resolution, complaints } = keeper.refresh();
  const { config, ready } = keeper.settings;
  const paused = {
    option: '',
    source: 'ClusterInformation default',
    value: '',
    problem: 'spec.datastoreReady is not true, so Felix programs nothing until it is; the Neutron driver sets it, unless an operator has paused all agents',
  };
  return {
    resolution,
    lines: [`spec.datastoreReady = ${ready} (ClusterInformation default)`],
    complaints: [...complaints, ...(ready ? [] : [paused]), ...namesakeComplaints(hostNamed(config), await namesakesOf(etcd, config))],
  };
}
