// Starts the agent on a host: gives `core.ts` the real etcd, interfaces, BIRD and files, and serves the pages of health and metrics.
import {
  etcdOfCfg,
  healthPages,
  heartbeatFailed,
  type Logger,
  metricsPages,
  outputsOf,
  type Running,
  startPages,
  systemClock,
  version,
} from '@calico-openstack/agent';
import { agentHeartbeat } from '@calico-openstack/datamodel';
import { connectEtcd, writeUnderLease } from '@calico-openstack/etcd';
import { connectBird } from './bird/control.ts';
import { configurationFile } from './bird/file.ts';
import { checkConfiguration, startBird } from './bird/process.ts';
import { startCore, type World } from './core.ts';
import { groupId } from './groups.ts';
import { openHost } from './node/host.ts';
import type { Config } from './option-table.ts';
import { openPasswords } from './passwords.ts';
import type { Lookups } from './plan/facts.ts';
import { understoodFile, understoodPath } from './understood.ts';

const controlTimeoutMs = 20_000;

/** The options in force, the log, and the compiler of selectors. */
export type AgentOptions = { readonly config: Config; readonly log: Logger; readonly compileSelector: Lookups['selector'] };

/**
 * Starts the agent. Resolves when it follows the datastore. Closing it changes nothing in BIRD and in the datastore.
 * @throws EtcdError when etcd's options cannot lead to a connection
 */
export async function startBirdAgent({ config, log, compileSelector }: AgentOptions): Promise<Running> {
  const etcdOptions = etcdOfCfg(config);
  const etcd = connectEtcd({ ...etcdOptions, onWarning: (sentence) => log.warn(sentence) });
  log.info(
    { version: version(), host: config.Hostname, etcd: etcdOptions.endpoints.join(','), region: config.OpenstackRegion ?? 'none', bird: config.BirdSocket },
    'the BIRD agent starts',
  );
  const core = await startCore({ config, etcd, endpoints: etcdOptions.endpoints, world: worldOf(config, log), compileSelector, log });
  const heartbeat = writeUnderLease(etcd, {
    ...agentHeartbeat(config.OpenstackRegion, config.Hostname, 'calico-bird-agent', systemClock.nowMs()),
    onError: heartbeatFailed(log, 'BIRD agent'),
  });
  const pages = [startPages('health', healthPages(core.health), log), startPages('metrics', metricsPages(core.registry), log)] as const;
  const outputs = outputsOf(config);
  pages[0].serve(outputs.health);
  pages[1].serve(outputs.metrics);
  return {
    log,
    reload: () => core.reload(),
    async close() {
      for (const page of pages) await page.close();
      await core.close();
      const lastBeat = heartbeat.close();
      etcd.close(); // ends a write that waits for etcd
      await lastBeat;
    },
  };
}

const worldOf = (config: Config, log: Logger): World => ({
  openHost: (onChange) => openHost(config.InterfacePrefix, onChange),
  connectBird: () => connectBird(config.BirdSocket, controlTimeoutMs),
  startBird: async (recover) => {
    await startBird({
      executable: config.BirdExecutable,
      configFile: config.BirdConfigFile,
      controlSocket: config.BirdSocket,
      pidFile: config.BirdPidFile,
      user: config.BirdUser,
      group: config.BirdUser && config.BirdGroup,
      recover,
    });
    log.info({ recover }, 'BIRD started');
  },
  checkConfiguration: (path) => checkConfiguration(config.BirdExecutable, path),
  file: configurationFile(config.BirdConfigFile, () => (config.BirdGroup === undefined ? undefined : groupId(config.BirdGroup))),
  understood: understoodFile(understoodPath(config.BirdConfigFile)),
  passwords: openPasswords(config.BgpPasswordFile),
  clock: systemClock,
});
