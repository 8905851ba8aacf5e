// calico-neutron-driver: the daemon of the Neutron driver, which makes all decisions.
import { checkOutputs, inForce, neutronDefaults, runExecutable } from '@calico-openstack/agent';
import { connectEtcd } from '@calico-openstack/etcd';
import { startDriver } from '../driver.ts';
import { readDriverDatastore } from '../in-datastore.ts';
import { driverOptions, readOptions } from '../option-table.ts';

await runExecutable({
  name: 'calico-neutron-driver',
  description: "Carries Neutron's networks, ports and security groups into Calico's datastore, and the state of ports and agents back.",
  ...neutronDefaults,
  readOptions,
  verify(configFiles) {
    const options = driverOptions(inForce(readOptions(configFiles)), configFiles);
    connectEtcd(options.etcd).close();
    checkOutputs(options);
  },
  readDatastore: (configFiles) => readDriverDatastore(driverOptions(inForce(readOptions(configFiles)), configFiles)),
  start: async (configFiles) => {
    const resolution = readOptions(configFiles);
    return startDriver(driverOptions(inForce(resolution), configFiles), resolution.complaints);
  },
});
