import { parseArgs } from 'node:util';
import { openLog, runExecutable, shownError } from '@calico-openstack/agent';
import { startBirdAgent } from '../agent.ts';
import { defaultConfigFile, readConfig } from '../config.ts';
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
  start: async (files) => {
    const config = readConfig(files, process.env);
    const { log, reopen } = openLog({
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
      close: () => agent.close(),
    };
  },
});

/** Exit code 1 when BIRD cannot be asked, 2 for bad usage. */
async function show(): Promise<void> {
  const option = { type: 'boolean' } as const;
  try {
    const { values } = parseArgs({ options: { show: option, json: option, 'config-file': { type: 'string', short: 'c', multiple: true } } });
    const shown = await inspectBird(readConfig(values['config-file'] ?? [defaultConfigFile], process.env).BirdSocket);
    process.stdout.write(values.json ? `${JSON.stringify(shown)}\n` : readable(shown));
  } catch (error) {
    const isUsage = error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');
    process.stderr.write(`calico-bird-agent: ${isUsage ? error.message : shownError(error)}\n`);
    process.exitCode = isUsage ? 2 : 1;
  }
}
