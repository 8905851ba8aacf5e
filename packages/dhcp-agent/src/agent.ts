// Starts the agent's parts and connects them. Changes of etcd and of the kernel's links go to the core (`core.ts`), whose loop serves ports by Dnsmasq's files, the IPv6 responder and addresses on taps.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { heartbeatFailed, type Logger, startLoop, systemClock, version } from '@calico-openstack/agent';
import { agentHeartbeat } from '@calico-openstack/datamodel';
import { connectEtcd, writeUnderLease } from '@calico-openstack/etcd';
import { openLinks } from '@calico-openstack/kernel/links/netlink';
import { networkNamespaceOf } from '@calico-openstack/kernel/processes/processes';
import { createCore } from './core.ts';
import { dnsmasqArguments, placesIn } from './dnsmasq/command.ts';
import { openDnsmasq } from './dnsmasq/disk.ts';
import { operatorsFile } from './dnsmasq/operators-file.ts';
import { checkArguments, checkDnsmasq, kill, processesWith } from './dnsmasq/process.ts';
import { isTapName } from './endpoint.ts';
import { followPorts } from './follow.ts';
import { openGuard } from './guard/guard.ts';
import { rememberErrors } from './last-error.ts';
import type { AgentOptions } from './option-table.ts';
import { followReserved } from './reserved.ts';
import { openServers } from './servers.ts';
import { type Status, startStatus } from './status.ts';
import { endUpstreams } from './upstream.ts';

/** The running agent. */
export type Agent = {
  /** Resolves when all changes that are known now are in effect. */
  settled(): Promise<void>;
  /** Ends the agent. Dnsmasq keeps running and serves the ports that it knows. */
  close(): Promise<void>;
};

/**
 * Starts the agent. Resolves when it runs, whether etcd answers or not.
 * @throws StartError when the host lacks something (Dnsmasq, rights, directories); EtcdError when etcd's options cannot lead to a connection
 */
export async function startAgent(configured: AgentOptions, logger: Logger): Promise<Agent> {
  const { log, last } = rememberErrors(logger);
  // etcd's options are checked first: when they are wrong, nothing on the host is changed.
  const etcd = connectEtcd({ ...configured.etcd, onWarning: (sentence) => log.warn(sentence) });
  const { host, region, directory } = configured;
  const dnsmasqVersion = await checkDnsmasq('dnsmasq');
  log.info(
    { version: version(), host, etcd: configured.etcd.endpoints.join(','), region: region ?? 'none', directory, dnsmasq: dnsmasqVersion },
    'the DHCP agent starts',
  );
  const options = withOperatorsFile(configured, log);
  await checkArguments('dnsmasq', dnsmasqArguments(placesIn(options.directory), options.dnsmasq));
  const links = openLinks({
    onTrouble: (error) => log.warn({ err: error }, 'the kernel does not report changes of links, so new taps are not served; retrying; see the error'),
  });
  const dnsmasq = openDnsmasq(options, links, log);
  // The guard is installed before Dnsmasq is started: Dnsmasq must never run without it.
  const guard = openGuard(log);
  dnsmasq.process.run();

  // Guests may ask as soon as there are servers.
  let asked: Status['asked'] = () => undefined;
  const servers = await openServers({ options, dnsmasq, links, asked: (tap, protocol) => asked(tap, protocol), log });
  await endFormerDnsmasq6(options.directory);
  const core = createCore({ options, servers: servers.families, links, log });
  const { dns, families } = servers;
  const status = startStatus({ places: options.pages, core, servers: families, dhcp: dnsmasq.process, dns, lastError: last, log });
  asked = status.asked;
  const upstreams = endUpstreams({ directory: options.directory, links, ready: () => dnsmasq.process.settled(), log });
  const loop = startLoop({
    run() {
      const restMs = core.run(performance.now());
      status.worked(true);
      servers.portsChanged();
      if (core.serving) upstreams.serving();
      return restMs;
    },
    onFailure(error, failures, pauseMs) {
      status.worked(false);
      log.error(
        { err: error, failures, retryMs: Math.round(pauseMs) },
        'a fault of the DHCP agent: changes of ports could not be processed; retrying; please report it with this error',
      );
    },
  });
  const linksChanged = (changed: Iterable<string>): void => {
    core.linksChanged([...changed]);
    for (const name of changed) if (isTapName(name)) servers.tapChanged(name);
  };
  const watch = links.watch((change) => {
    linksChanged(new Set([...change.links, ...change.addresses]));
    loop.wake();
  });
  linksChanged([...links.links.keys()]);
  // Reserved addresses are followed before etcd, because a gateway on a tap that cuts this host off etcd must be removed without etcd.
  const reserved = followReserved(links, options, log, (source, reservations) => {
    core.reserved(source, reservations);
    loop.wake();
  });
  loop.wake();
  const heartbeat = writeUnderLease(etcd, {
    ...agentHeartbeat(region, host, 'calico-dhcp-agent', systemClock.nowMs()),
    onError: heartbeatFailed(log, 'DHCP agent'),
  });
  const follower = followPorts({ etcd, region, host, core, onSync: status.synced, wake: () => loop.wake(), log });

  return {
    async settled() {
      await loop.settled();
      await dnsmasq.process.settled();
      await dns?.settled();
    },
    async close() {
      follower.close();
      const lastBeat = heartbeat.close();
      etcd.close(); // ends a write that waits for etcd
      await lastBeat;
      watch.close();
      reserved.close();
      await servers.close();
      await upstreams.close();
      await guard.close();
      await loop.close();
      links.close();
      await dnsmasq.process.close();
      await status.close();
    },
  };
}

/** Ends the Dnsmasq for DHCPv6 of an earlier version of this agent, and removes its files. It serves until this agent does. */
async function endFormerDnsmasq6(directory: string): Promise<void> {
  const former = join(directory, 'dnsmasq-6');
  for (const { network, ...found } of processesWith(`--pid-file=${join(former, 'pid')}`)) if (network === networkNamespaceOf('self')) await kill(found);
  rmSync(former, { recursive: true, force: true });
}

/** The options with a usable form of the operator's file of Dnsmasq options. */
function withOperatorsFile(options: AgentOptions, log: Logger): AgentOptions {
  const { configFile } = options.dnsmasq;
  if (configFile === undefined) return options;
  const { path, leftOut } = operatorsFile(configFile, options.directory);
  if (leftOut.length > 0)
    log.warn(
      { file: configFile, options: leftOut },
      'options of dnsmasq_config_file are left out, because this agent sets them itself; remove them from the file',
    );
  return { ...options, dnsmasq: { ...options.dnsmasq, configFile: path } };
}
