import { runExecutable } from '@calico-openstack/agent';
import { startFelix } from '../felix.ts';

await runExecutable({
  name: 'calico-felix',
  description: 'Programs this compute host’s kernel for its OpenStack workloads, from etcd.',
  defaultConfigFiles: ['/etc/calico/felix.cfg'],
  start: startFelix,
});
