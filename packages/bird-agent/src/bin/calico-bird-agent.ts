import { openLog, runExecutable } from '@calico-openstack/agent';
import { startBirdAgent } from '../agent.ts';
import { defaultConfigFile, readConfig } from '../config.ts';
import { compileSelector } from '../selectors.ts';

await runExecutable({
  name: 'calico-bird-agent',
  description: 'Configures BIRD on a compute host from the BGP resources in etcd, and registers the host there.',
  defaultConfigFiles: [defaultConfigFile],
  start: async (files) => {
    const config = readConfig(files, process.env);
    const { log, reopen, flush } = openLog({
      name: 'bird-agent',
      screen: config.LogSeverityScreen,
      file:
        config.LogFilePath !== undefined && config.LogSeverityFile !== undefined ? { path: config.LogFilePath, severity: config.LogSeverityFile } : undefined,
    });
    for (const option of config.unknown) log.warn({ option }, 'the configuration file has an option that is not known');
    const agent = await startBirdAgent({ config, log, compileSelector });
    return {
      ...agent,
      reload() {
        reopen();
        agent.reload?.();
      },
      async close() {
        await agent.close();
        flush();
      },
    };
  },
});
