import { parseArgs } from 'node:util';
import { checkOutputs, etcdOfCfg, inForce, logComplaints, openLog, outputsOf, runExecutable, shownError } from '@calico-openstack/agent';
import { connectEtcd } from '@calico-openstack/etcd';
import { startBirdAgent } from '../agent.ts';
import { readBirdDatastore } from '../in-datastore.ts';
import { defaultConfigFile, readOptions } from '../option-table.ts';
import { removeBirdAgent } from '../remove.ts';
import { compileSelector } from '../selectors.ts';
import { inspectBird, readable } from '../show.ts';

if (process.argv.includes('--show')) {
  await show();
  process.exit();
}

await runExecutable({
  name: 'calico-bird-agent',
  description:
    'Configures BIRD on a compute host from the BGP resources in etcd, and registers the host there. With --show [--json]: tells what BIRD does now, and ends.',
  defaultConfigFiles: [defaultConfigFile],
  readOptions,
  verify(files) {
    const values = inForce(readOptions(files));
    connectEtcd(etcdOfCfg(values)).close();
    checkOutputs(outputsOf(values));
  },
  readDatastore: (files) => readBirdDatastore(readOptions(files)),
  remove: removeBirdAgent,
  start: async (files) => {
    const resolution = readOptions(files);
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

/** Carries out `--show`. The exit status is 1 when BIRD does not answer, 2 for wrong usage. */
async function show(): Promise<void> {
  const option = { type: 'boolean' } as const;
  try {
    const { values } = parseArgs({ options: { show: option, json: option, 'config-file': { type: 'string', short: 'c', multiple: true } } });
    const shown = await inspectBird(readOptions(values['config-file'] ?? [defaultConfigFile]).values.BirdSocket);
    process.stdout.write(values.json ? `${JSON.stringify(shown)}\n` : readable(shown));
  } catch (error) {
    const isUsage = error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');
    process.stderr.write(`calico-bird-agent: ${isUsage ? error.message : shownError(error)}\n`);
    process.exitCode = isUsage ? 2 : 1;
  }
}
