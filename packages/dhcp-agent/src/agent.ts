// The agent: etcd and the kernel's links → model → files, addresses on taps, Dnsmasq. One loop does all of it; handlers only note what changed.

import type { IpAddress } from '@calico-openstack/addresses';
import { type Logger, startLoop, takeEach, tellUnreadable, warnOfNamesakes } from '@calico-openstack/agent';
import { findNamesakes, hostEndpointsPrefix, type Reservations, subnetPrefix, workloadEndpointNamePrefix } from '@calico-openstack/datamodel';
import { type Change, connectEtcd, type Etcd, type FollowState } from '@calico-openstack/etcd';
import type { LinkEditor, Links } from '@calico-openstack/kernel/links/link';
import { openLinks } from '@calico-openstack/kernel/links/netlink';
import { dnsmasqArguments, placesIn } from './dnsmasq/command.ts';
import { leaseHolders } from './dnsmasq/directory.ts';
import { openDnsmasq } from './dnsmasq/disk.ts';
import { parseOptions6 } from './dnsmasq/files.ts';
import { serverDuid } from './dnsmasq/leases.ts';
import { operatorsFile } from './dnsmasq/operators-file.ts';
import { checkArguments, checkDnsmasq } from './dnsmasq/process.ts';
import { type FamilyServer, familyServer } from './dnsmasq/server.ts';
import { isTapName } from './endpoint.ts';
import { openGuard } from './guard/guard.ts';
import { createModel } from './model.ts';
import type { AgentOptions } from './option-table.ts';
import { openResponder, type PortOf } from './rebind/responder.ts';
import { followReserved } from './reserved.ts';
import { type PortService, servicesOf } from './service/service.ts';
import { setServerAddresses, tapsInUse } from './taps.ts';

export type Agent = {
  /** Resolves when everything that is known now has been done. */
  settled(): Promise<void>;
  /** Ends the agent; Dnsmasq goes on serving what it knows. */
  close(): Promise<void>;
};

/** The kernel refused an address, or the disk a file: again after this time, and after twice as long each time that it is refused again. */
const retry = { firstMs: 1000, maxMs: 30_000 };

/** @throws StartError, EtcdError when the agent cannot do its work here */
export async function startAgent(configured: AgentOptions, log: Logger): Promise<Agent> {
  const etcd = connectEtcd(configured.etcd); // first: without it nothing on the host is touched
  const { host, region, directory } = configured;
  log.info({ version: await checkDnsmasq('dnsmasq'), host, region: region ?? 'none', directory }, 'starting');
  const options = withOperatorsFile(configured, log);
  const families = [4, 6] as const;
  for (const family of families) await checkArguments('dnsmasq', dnsmasqArguments(family, placesIn(options.directory, family), options.dnsmasq));
  const dnsmasqs = families.map((family) => openDnsmasq(family, options, log.child({ dhcp: `v${family}` })));
  const links = openLinks({ onTrouble: (error) => log.warn({ err: error }, 'the kernel does not tell of its links; asking again') });
  // Before Dnsmasq: what it must not hear is kept from it, or it does not run.
  const guard = openGuard(log);
  for (const { process } of dnsmasqs) process.run();

  const servers = dnsmasqs.map((dnsmasq, index) => familyServer(index === 0 ? 4 : 6, dnsmasq));
  const responder = openResponder({
    links,
    server: { duid: serverDuid, leaseSeconds: options.dnsmasq.leaseSeconds },
    portOf: portOf(servers.find(({ family }) => family === 6)!),
    holderOf: leaseHolders(placesIn(options.directory, 6)),
    log,
  });
  const core = createCore({ options, servers, links, log });
  const loop = startLoop({
    run: () => core.run(performance.now()),
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
  const follower = follow(etcd, options, core, () => loop.wake(), log);

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

function follow(etcd: Etcd, options: AgentOptions, core: Core, wake: () => void, log: Logger): { close(): void } {
  const endpoints = hostEndpointsPrefix(options.region, workloadEndpointNamePrefix(options.host));
  const subnets = subnetPrefix(options.region);
  let namesakes: { close(): void } | undefined;
  const follower = etcd.follow([endpoints, subnets], {
    onChanges(changes) {
      const kind = (key: string): 'subnet' | 'endpoint' => (key.startsWith(subnets) ? 'subnet' : 'endpoint');
      takeEach(
        changes,
        (change) => core.etcdChanged(kind(change.key), change),
        (error, key) =>
          log.error({ err: error, key }, 'a fault of the DHCP agent: this value could not be taken in and counts as absent; please report it with the value'),
      );
      wake();
    },
    onUnreadable: tellUnreadable(log),
    onInSync(revision) {
      core.inSync();
      log.info({ revision }, 'etcd was read');
      const keysWith = async (prefix: string) => (await etcd.range(prefix, { keysOnly: true })).found.map(({ key }) => key);
      namesakes = warnOfNamesakes({
        host: options.host,
        option: '[DEFAULT] host in neutron.conf',
        look: () => findNamesakes(options.region, options.host, keysWith),
        log,
      });
      wake();
    },
    onState(state: FollowState, reason?: string) {
      if (state === 'lost') log.warn({ reason }, 'etcd does not answer; serving what is known');
      else log.debug({ state }, 'etcd');
    },
  });
  return {
    close() {
      follower.close();
      namesakes?.close();
    },
  };
}

export interface Core {
  etcdChanged(kind: 'endpoint' | 'subnet', change: Pick<Change, 'key' | 'value'>): void;
  inSync(): void;
  /** What `source` (the host, BIRD's configuration, the agent's own) says that nobody may have on a tap. */
  reserved(source: string, reservations: Reservations): void;
  /** Names of links that came, went or changed, or whose addresses did. */
  linksChanged(names: readonly string[]): void;
  /** Looks at everything that changed; gives the time after which it wants to look again. */
  run(nowMs: number): number | undefined;
}

export type CoreOptions = {
  readonly options: Pick<AgentOptions, 'service'>;
  readonly servers: readonly ReturnType<typeof familyServer>[];
  readonly links: Links & LinkEditor;
  readonly log: Logger;
};

/** The loop's body and what it remembers. Until etcd was read whole, nothing is taken away, and what the files say is served. */
export function createCore({ options, servers, links, log }: CoreOptions): Core {
  const model = createModel(options.service);
  const told = new Map<string, string>();
  let dirtyTaps = new Set<string>();
  /** What could not be done to files, by tap. It stands in nobody's way. */
  let undone = new Map<string, PortService | undefined>();
  /** By tap and where: what was refused and has been told. */
  const toldRefusals = new Map<string, string>();
  let retryMs = retry.firstMs;
  let inSync = false;
  let swept = false;

  function run(nowMs: number): number | undefined {
    const taps = dirtyTaps;
    dirtyTaps = new Set();
    if (!inSync) {
      for (const tap of taps) setAddresses(tap, 'add');
      return retryAfterMs();
    }
    const changed = new Map([...undone, ...model.takeChanged()]);
    undone = new Map();
    if (!swept) sweep(changed, taps);
    // What goes makes room for what comes.
    for (const [tap, port] of changed) attempt(tap, port, () => withdraw(tap, port));
    for (const [tap, port] of changed) if (port && !undone.has(tap)) attempt(tap, port, () => serve(port));
    for (const tap of changed.keys()) if (!undone.has(tap)) tellRefusal(tap, 'files', undefined);
    const restsMs = servers.flatMap((server) => server.settle(nowMs) ?? []);
    for (const tap of new Set([...taps, ...changed.keys()])) setAddresses(tap, 'replace');
    tellProblems();
    const restMs = Math.min(...restsMs, retryAfterMs() ?? Number.POSITIVE_INFINITY);
    return Number.isFinite(restMs) ? restMs : undefined;
  }

  function retryAfterMs(): number | undefined {
    const nowMs = retryMs;
    const refused = dirtyTaps.size + undone.size > 0;
    retryMs = refused ? Math.min(2 * retryMs, retry.maxMs) : retry.firstMs;
    return refused ? nowMs : undefined;
  }

  function attempt(tap: string, port: PortService | undefined, work: () => void): void {
    try {
      work();
    } catch (error) {
      undone.set(tap, port);
      tellRefusal(tap, 'files', error instanceof Error ? error.message : String(error));
    }
  }

  /** Once, however often it is refused again. undefined: no longer. */
  function tellRefusal(tap: string, what: 'files' | 'addresses', reason: string | undefined): void {
    const id = `${tap} ${what}`;
    if (toldRefusals.get(id) === reason) return;
    if (reason === undefined) {
      toldRefusals.delete(id);
      log.info({ tap, what }, 'no longer refused');
    } else {
      toldRefusals.set(id, reason);
      log.error({ tap, what, reason }, 'cannot do what the port needs; everything else goes on, and it is tried again');
    }
  }

  /** Once: every endpoint has just been looked at, so what else is there on disk or on a tap is left over. */
  function sweep(changed: Map<string, PortService | undefined>, taps: Set<string>): void {
    swept = true;
    for (const server of servers) for (const tap of server.ports.keys()) if (!changed.has(tap)) changed.set(tap, undefined);
    for (const tap of tapsInUse(links)) taps.add(tap);
  }

  function withdraw(tap: string, port: PortService | undefined): void {
    // A tap without our addresses is silent at once, whatever Dnsmasq still knows.
    if (!port) setServerAddresses(links, tap, []);
    const gone = servers.filter(({ family, withdraw: withdrawFrom }) => !servicesFor(port).some((service) => service.family === family) && withdrawFrom(tap));
    if (!port && gone.length > 0) log.info({ tap }, 'port no longer served');
  }

  function serve(port: PortService): void {
    const known = servers.some(({ ports }) => ports.has(port.tap));
    const services = servicesFor(port);
    const news = servers.filter((server) => services.some((service) => service.family === server.family && server.serve(port.tap, port.mac, service)));
    if (news.length > 0)
      log.info({ tap: port.tap, mac: port.mac, addresses: services.flatMap(({ leases }) => leases) }, known ? 'port served in another way' : 'port served');
  }

  function setAddresses(tap: string, mode: 'add' | 'replace'): void {
    const isForbidden = (address: IpAddress): boolean => model.obstacle(address) !== undefined;
    // Files may say what an earlier run wrote: what nobody may have does not come to the tap, and goes from it, before etcd is heard.
    const wanted = servers.flatMap(({ ports }) => ports.get(tap)?.serverAddresses ?? []).filter(({ address }) => !isForbidden(address));
    const refusals = setServerAddresses(links, tap, wanted, mode, isForbidden);
    if (refusals.length > 0) dirtyTaps.add(tap);
    const reason = refusals.map(({ address, code, detail }) => `the kernel refuses ${address}: ${code}${detail ? ` (${detail})` : ''}`).join('; ');
    tellRefusal(tap, 'addresses', reason || undefined);
  }

  function tellProblems(): void {
    for (const [key, problems] of model.problems) {
      const text = problems.join('; ');
      if (told.get(key) === text) continue;
      told.set(key, text);
      log.warn({ key, problems }, 'not served, or not wholly');
    }
    for (const key of told.keys()) {
      if (model.problems.has(key)) continue;
      told.delete(key);
      log.info({ key }, 'served again, or gone');
    }
  }

  return {
    run,
    inSync() {
      inSync = true;
    },
    etcdChanged(kind, { key, value }) {
      if (kind === 'subnet') model.setSubnet(key, value);
      else model.setEndpoint(key, value);
    },
    reserved(source, reservations) {
      if (!model.setReserved(source, reservations)) return;
      for (const tap of [...tapsInUse(links), ...servers.flatMap(({ ports }) => [...ports.keys()])]) dirtyTaps.add(tap);
    },
    linksChanged(names) {
      for (const name of names) {
        if (!isTapName(name)) continue;
        model.setTap(name, links.link(name)?.mtuBytes);
        dirtyTaps.add(name);
      }
    },
  };
}

const servicesFor = (port: PortService | undefined) => (port ? servicesOf(port) : []);
