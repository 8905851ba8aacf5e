import { openLog, runExecutable } from '@calico-openstack/agent';
import { startAgent } from '../agent.ts';
import { defaultConfigFiles, readOptions } from '../options.ts';

await runExecutable({
  name: 'calico-dhcp-agent',
  description: "Serves DHCP to this host's ports, as etcd tells of them, with Dnsmasq.",
  defaultConfigFiles,
  async start(configFiles) {
    const options = readOptions(configFiles);
    const { severity, file } = options.log;
    const { log, reopen } = openLog({
      name: 'dhcp-agent',
      screen: severity,
      ...(file !== undefined && { file: { path: file, severity } }),
    });
    const agent = await startAgent(options, log);
    return {
      log,
      reload: reopen,
      close: () => agent.close(),
    };
  },
});
