import { checkOutputs, inForce, logComplaints, neutronDefaults, openLog, runExecutable } from '@calico-openstack/agent';
import { connectEtcd } from '@calico-openstack/etcd';
import { startAgent } from '../agent.ts';
import { operatorsLines } from '../dnsmasq/operators-file.ts';
import { readDhcpDatastore } from '../in-datastore.ts';
import { agentOptions, readOptions } from '../option-table.ts';
import { removeDhcpAgent } from '../remove.ts';

await runExecutable({
  name: 'calico-dhcp-agent',
  description: "Serves DHCP to this host's ports, as etcd tells of them, with Dnsmasq.",
  ...neutronDefaults,
  readOptions,
  verify(configFiles) {
    const { etcd, dnsmasq, pages } = agentOptions(inForce(readOptions(configFiles)));
    connectEtcd(etcd).close();
    checkOutputs(pages);
    if (dnsmasq.configFile !== undefined) operatorsLines(dnsmasq.configFile);
  },
  readDatastore: (configFiles) => readDhcpDatastore(agentOptions(inForce(readOptions(configFiles)))),
  remove: removeDhcpAgent,
  async start(configFiles) {
    const resolution = readOptions(configFiles);
    const options = agentOptions(inForce(resolution));
    const { log, reopen } = openLog({ name: 'dhcp-agent', ...options.log });
    logComplaints(log, resolution.complaints);
    const agent = await startAgent(options, log);
    return {
      log,
      reload: reopen,
      close: () => agent.close(),
    };
  },
});
