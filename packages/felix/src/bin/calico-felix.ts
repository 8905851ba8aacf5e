import { etcdOfCfg, inForce, runExecutable } from '@calico-openstack/agent';
import { connectEtcd } from '@calico-openstack/etcd';
import { startFelix } from '../felix.ts';
import { localSources, resolveParameters } from '../settings.ts';
import { removeFelix } from '../takeover/remove.ts';

const readOptions = (configFiles: readonly string[]) => resolveParameters(localSources(configFiles, process.env));

await runExecutable({
  name: 'calico-felix',
  description: 'Programs this compute host’s kernel for its OpenStack workloads, from etcd.',
  defaultConfigFiles: ['/etc/calico/felix.cfg'],
  readOptions,
  verify(configFiles) {
    connectEtcd(etcdOfCfg(inForce(readOptions(configFiles)))).close();
  },
  start: startFelix,
  remove: removeFelix,
});
