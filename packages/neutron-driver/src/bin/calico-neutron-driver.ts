// calico-neutron-driver: the daemon of the Neutron driver, which makes all decisions.
import { runExecutable } from '@calico-openstack/agent';
import { startDriver } from '../driver.ts';
import { defaultConfigFiles, readOptions } from '../options.ts';

await runExecutable({
  name: 'calico-neutron-driver',
  description: "Carries Neutron's networks, ports and security groups into Calico's datastore, and the state of ports and agents back.",
  defaultConfigFiles,
  start: async (configFiles) => startDriver(readOptions(configFiles)),
});
