// The agent: etcd and the kernel's links → model → files, addresses on taps, Dnsmasq. One loop does all of it (`core.ts`); handlers only note what changed.
import { type Logger, startLoop } from '@calico-openstack/agent';
import { connectEtcd } from '@calico-openstack/etcd';
import { openLinks } from '@calico-openstack/kernel/links/netlink';
import { createCore } from './core.ts';
import { dnsmasqArguments, placesIn } from './dnsmasq/command.ts';
import { leaseHolders } from './dnsmasq/directory.ts';
import { openDnsmasq } from './dnsmasq/disk.ts';
import { parseOptions6 } from './dnsmasq/files.ts';
import { serverDuid } from './dnsmasq/leases.ts';
import { operatorsFile } from './dnsmasq/operators-file.ts';
import { checkArguments, checkDnsmasq } from './dnsmasq/process.ts';
import { createFamilyServer, type FamilyServer } from './dnsmasq/server.ts';
import { followPorts } from './follow.ts';
import { openGuard } from './guard/guard.ts';
import type { AgentOptions } from './option-table.ts';
import { openResponder, type PortOf } from './rebind/responder.ts';
import { followReserved } from './reserved.ts';
import { endUpstreams } from './upstream.ts';

export type Agent = {
  /** Resolves when everything that is known now has been done. */
  settled(): Promise<void>;
  /** Ends the agent; Dnsmasq goes on serving what it knows. */
  close(): Promise<void>;
};

/** @throws StartError, EtcdError when the agent cannot do its work here */
export async function startAgent(configured: AgentOptions, log: Logger): Promise<Agent> {
  const etcd = connectEtcd({ ...configured.etcd, onWarning: (sentence) => log.warn(sentence) }); // first: without it nothing on the host is touched
  const { host, region, directory } = configured;
  log.info({ version: await checkDnsmasq('dnsmasq'), host, region: region ?? 'none', directory }, 'starting');
  const options = withOperatorsFile(configured, log);
  const families = [4, 6] as const;
  for (const family of families) await checkArguments('dnsmasq', dnsmasqArguments(family, placesIn(options.directory, family), options.dnsmasq));
  const dnsmasqs = families.map((family) => openDnsmasq(family, options, log.child({ dhcp: `v${family}` })));
  const links = openLinks({ onTrouble: (error) => log.warn({ err: error }, 'the kernel does not report its links; retrying') });
  // Before Dnsmasq: what it must not hear is kept from it, or it does not run.
  const guard = openGuard(log);
  for (const { process } of dnsmasqs) process.run();

  const servers = dnsmasqs.map((dnsmasq, index) => createFamilyServer(index === 0 ? 4 : 6, dnsmasq));
  const responder = openResponder({
    links,
    server: { duid: serverDuid, leaseSeconds: options.dnsmasq.leaseSeconds },
    portOf: portOf(servers.find(({ family }) => family === 6)!),
    holderOf: leaseHolders(placesIn(options.directory, 6)),
    log,
  });
  const core = createCore({ options, servers, links, log });
  const ready = (): Promise<unknown> => Promise.all(dnsmasqs.map(({ process }) => process.settled()));
  const upstreams = endUpstreams({ directory, links, ready, log });
  const loop = startLoop({
    run() {
      const restMs = core.run(performance.now());
      if (core.serving) upstreams.serving();
      return restMs;
    },
    onFailure: (error, failures, pauseMs) => log.error({ err: error, failures, retryMs: Math.round(pauseMs) }, 'could not do everything'),
  });
  const watch = links.watch((change) => {
    core.linksChanged([...change.links, ...change.addresses]);
    loop.wake();
  });
  core.linksChanged([...links.links.keys()]);
  // Before etcd: a gateway that cuts this host off etcd must go without it.
  const reserved = followReserved(links, options, log, (source, reservations) => {
    core.reserved(source, reservations);
    loop.wake();
  });
  loop.wake();
  const follower = followPorts({ etcd, region, host, core, wake: () => loop.wake(), log });

  return {
    async settled() {
      await loop.settled();
      await Promise.all(dnsmasqs.map(({ process }) => process.settled()));
    },
    async close() {
      follower.close();
      etcd.close();
      watch.close();
      reserved.close();
      responder.close();
      await upstreams.close();
      await guard.close();
      await loop.close();
      links.close();
      await Promise.all(dnsmasqs.map(({ process }) => process.close()));
    },
  };
}

/** The options with an operator's file that both Dnsmasqs can read. */
function withOperatorsFile(options: AgentOptions, log: Logger): AgentOptions {
  const { configFile } = options.dnsmasq;
  if (configFile === undefined) return options;
  const { path, leftOut } = operatorsFile(configFile, options.directory);
  if (leftOut.length > 0)
    log.warn({ file: configFile, options: leftOut }, 'options of dnsmasq_config_file are left out, since they cannot be the same for two Dnsmasqs');
  return { ...options, dnsmasq: { ...options.dnsmasq, configFile: path } };
}

/** As on disk: while etcd is away as well. */
const portOf =
  ({ ports, options }: FamilyServer): PortOf =>
  (tap) => {
    const entry = ports.get(tap);
    return entry && { mac: entry.macs[0]!, leases: entry.leases, ...parseOptions6(options.get(tap) ?? '') };
  };
