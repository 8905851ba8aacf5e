// Starts the agent on this host: its settings, its log, etcd, and then the kernel.
import { existsSync } from 'node:fs';
import { etcdOfCfg, logComplaints, openLog, outputsOf, type Running, systemClock, version } from '@calico-openstack/agent';
import { connectEtcd } from '@calico-openstack/etcd';
import { readSysctl } from '@calico-openstack/kernel';
import { Felix } from './felix.ts';
import { openHostKernel } from './host-kernel.ts';
import { kernelHasIpv6 } from './host-settings.ts';
import { needing } from './kernel-needs.ts';
import { renderOptions } from './render-options.ts';
import { createSettingsKeeper, localSources } from './settings.ts';
import { createStamping } from './stamping.ts';
import { anotherFelixPolices, createTakeOver } from './takeover/takeover.ts';

/**
 * Starts the agent in this process's network namespace.
 * @throws StartError, EtcdError when it cannot be started as configured, and IniError when a configuration file cannot be read
 */
export async function startFelix(configFiles: readonly string[]): Promise<Running> {
  const ipv6 = kernelHasIpv6(readSysctl);
  const keeper = createSettingsKeeper(localSources(configFiles, process.env), { ipv6 });
  const { config } = keeper.settings;
  const output = openLog({ name: 'felix', ...outputsOf(config).log });
  const { log } = output;
  logComplaints(log, keeper.complaints);
  log.info(
    {
      version: version(),
      host: config.FelixHostname,
      etcd: etcdOfCfg(config).endpoints.join(','),
      files: configFiles.filter((file) => existsSync(file)).join(','),
    },
    'Felix starts',
  );
  if (!ipv6) log.warn({}, 'this kernel has no IPv6 (ipv6.disable=1): Ipv6Support counts as false, and workloads have IPv4 alone');
  // etcd comes before the kernel. An agent whose options for etcd are wrong must not close the host.
  const etcd = connectEtcd({ ...etcdOfCfg(config), onWarning: (sentence) => log.warn(sentence) });
  const kernel = openHostKernel(log, () => keeper.settings.config);
  const policedAtStart = needing('nftables', anotherFelixPolices);
  const stamping = needing('nftables', () => createStamping(kernel, renderOptions(config).stamps, policedAtStart, log));
  if (policedAtStart) log.info({}, 'the rules of another Felix police this host; they stay until the datastore has been read and our rules are in force');
  const another = { policedAtStart, polices: anotherFelixPolices, takeOver: createTakeOver };
  const felix = needing('nftables', () => new Felix({ keeper, kernel, stamping, another, etcd, output, clock: systemClock }));
  return {
    log,
    failed: felix.failed,
    reload: () => output.reopen(),
    close: () => felix.close(),
  };
}
