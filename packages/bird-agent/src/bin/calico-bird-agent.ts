import { checkOutputs, etcdOfCfg, inForce, logComplaints, openLog, outputsOf, runExecutable } from '@calico-openstack/agent';
import { connectEtcd } from '@calico-openstack/etcd';
import { startBirdAgent } from '../agent.ts';
import { readBirdDatastore } from '../in-datastore.ts';
import { defaultConfigFile, readOptions } from '../option-table.ts';
import { removeBirdAgent } from '../remove.ts';
import { compileSelector } from '../selectors.ts';
import { inspectBird, readable } from '../show.ts';

await runExecutable({
  name: 'calico-bird-agent',
  description: 'Configures BIRD on a compute host from the BGP resources in etcd, and registers the host there.',
  defaultConfigFiles: [defaultConfigFile],
  readOptions,
  verify(files) {
    const values = inForce(readOptions(files));
    connectEtcd(etcdOfCfg(values)).close();
    checkOutputs(outputsOf(values));
  },
  readDatastore: (files) => readBirdDatastore(readOptions(files)),
  more: [
    { flags: '--show', help: 'print what BIRD does now (its sessions, and the routes that are refused), and exit' },
    { flags: '--json', help: 'print the same as JSON, and exit' },
  ],
  remove: removeBirdAgent,
  start: async (files, given: { readonly show?: true; readonly json?: true }) => {
    const resolution = readOptions(files);
    if (given.show || given.json) {
      const shown = await inspectBird(resolution.values.BirdSocket);
      process.stdout.write(given.json ? `${JSON.stringify(shown)}\n` : readable(shown));
      process.exit();
    }
    const config = inForce(resolution);
    const { log, reopen } = openLog({ name: 'bird-agent', ...outputsOf(config).log });
    logComplaints(log, resolution.complaints);
    const agent = await startBirdAgent({ config, log, compileSelector });
    return {
      ...agent,
      reload() {
        reopen();
        agent.reload?.();
      },
      close: () => agent.close(),
    };
  },
});
