import { checkOutputs, etcdOfCfg, inForce, outputsOf, runExecutable } from '@calico-openstack/agent';
import { connectEtcd } from '@calico-openstack/etcd';
import { readFelixDatastore } from '../in-datastore.ts';
import { localSources, resolveParameters } from '../settings.ts';
import { startFelix } from '../start.ts';
import { removeFelix } from '../takeover/remove.ts';

const sources = (configFiles: readonly string[]) => localSources(configFiles, process.env);
const readOptions = (configFiles: readonly string[]) => resolveParameters(sources(configFiles));

await runExecutable({
  name: 'calico-felix',
  description: 'Programs this compute host’s kernel for its OpenStack workloads, from etcd.',
  defaultConfigFiles: ['/etc/calico/felix.cfg'],
  readOptions,
  verify(configFiles) {
    const values = inForce(readOptions(configFiles));
    connectEtcd(etcdOfCfg(values)).close();
    checkOutputs(outputsOf(values));
  },
  readDatastore: (configFiles) => readFelixDatastore(sources(configFiles)),
  start: startFelix,
  remove: removeFelix,
});
