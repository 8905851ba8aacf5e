// The body of the agent's loop and its state. Ports, subnets and links come in; files for Dnsmasq and addresses on taps go out. What is refused for one port holds up no other.
import type { Logger } from '@calico-openstack/agent';
import type { Reservations } from '@calico-openstack/datamodel';
import type { Change } from '@calico-openstack/etcd';
import type { LinkEditor, Links } from '@calico-openstack/kernel/links/link';
import { isTapName } from './endpoint.ts';
import type { FamilyServer } from './family-server.ts';
import { growingPause } from './growing-pause.ts';
import { createModel } from './model.ts';
import type { AgentOptions } from './option-table.ts';
import { portServer } from './port-server.ts';
import { createProblemTeller } from './problems.ts';
import { refusalTeller } from './refusals.ts';
import type { PortService } from './service/service.ts';
import { tapAddresses } from './tap-addresses.ts';
import { carriesOurs, setServerAddresses, tapsInUse } from './taps.ts';

/** The agent's loop body: records changes, and acts on them in `run`. */
export interface Core {
  /** Whether a whole snapshot of etcd has been put into effect. */
  readonly serving: boolean;
  /** The ports and subnets that are not served in full, and how many refusals by the disk or the kernel last. */
  readonly troubles: { readonly problems: NetworkProblems; readonly refusals: number };
  etcdChanged(kind: 'endpoint' | 'subnet', change: Pick<Change, 'key' | 'value'>): void;
  inSync(): void;
  /** Replaces the addresses that `source` (the host, BIRD's configuration, the agent's own etcd endpoints) reserves. No tap gets a reserved address. */
  reserved(source: string, reservations: Reservations): void;
  /** Records the names of links that came, went or changed, or whose addresses did. */
  linksChanged(names: readonly string[]): void;
  /** Acts on everything that changed. Returns after how many milliseconds to call it again; undefined when only a change makes that necessary. */
  run(nowMs: number): number | undefined;
}

/** By network, `` for values that name none: how many ports and subnets are not served in full, and when the last of them was logged, in milliseconds since 1970. */
export type NetworkProblems = ReadonlyMap<string, { readonly count: number; readonly lastMs: number }>;

/** What the core works on: the options for services, a server for each family, the kernel's links. */
export type CoreOptions = {
  readonly options: Pick<AgentOptions, 'service'>;
  readonly servers: readonly FamilyServer[];
  readonly links: Links & LinkEditor;
  readonly log: Logger;
};

/** How soon a refused address or file is retried: the pause doubles with each refusal. */
const retry = { firstMs: 1000, maxMs: 30_000 };

/** After this time the servers are checked again, to log the ports that are served from then on. */
const tellMs = 100;

/** The core of one agent. Until etcd has been read in full, it removes nothing and serves the ports whose files are on disk. */
export function createCore({ options, servers, links, log }: CoreOptions): Core {
  const model = createModel(options.service);
  const networkOf = (key: string): string => model.networkOf(key) ?? '';
  const lastProblemMs = new Map<string, number>();
  const tellProblems = createProblemTeller(log, (key) => lastProblemMs.set(networkOf(key), Date.now()));
  const tellRefusal = refusalTeller(log);
  const ports = portServer({ servers, silence: (tap) => void setServerAddresses(links, tap, []), log });
  const setAddresses = tapAddresses({ links, servers, isForbidden: (address) => model.obstacle(address) !== undefined, tellRefusal });
  const pauseMs = growingPause(retry);
  let dirtyTaps = new Set<string>();
  /** The services whose files were refused, by tap; undefined for a removal. They hold up no other port. */
  let undone = new Map<string, PortService | undefined>();
  let inSync = false;
  let swept = false;

  function run(nowMs: number): number | undefined {
    const taps = dirtyTaps;
    dirtyTaps = new Set();
    const restsMs: number[] = [];
    if (inSync) {
      const changed = new Map([...undone, ...model.takeChanged()]);
      if (!swept) sweep(changed, taps);
      undone = writeFiles(changed);
      restsMs.push(...servers.flatMap((server) => server.settle(nowMs) ?? []));
      for (const tap of changed.keys()) taps.add(tap);
    }
    for (const tap of taps) if (!setAddresses(tap, inSync ? 'replace' : 'add')) dirtyTaps.add(tap);
    if (inSync) tellProblems(model.problems);
    if (ports.tell()) restsMs.push(tellMs);
    restsMs.push(...[pauseMs(dirtyTaps.size + undone.size > 0)].flatMap((restMs) => restMs ?? []));
    return restsMs.length > 0 ? Math.min(...restsMs) : undefined;
  }

  /** Runs once, when all endpoints have been read: files on disk and addresses on taps that belong to no endpoint are removed. */
  function sweep(changed: Map<string, PortService | undefined>, taps: Set<string>): void {
    swept = true;
    for (const server of servers) for (const tap of server.ports.keys()) if (!changed.has(tap)) changed.set(tap, undefined);
    for (const tap of tapsInUse(links)) taps.add(tap);
  }

  /** Writes the changed files. Returns the services whose files the disk refused, which are retried with the next changes. Removals come first, because they free space. */
  function writeFiles(changed: ReadonlyMap<string, PortService | undefined>): Map<string, PortService | undefined> {
    const refused = new Map<string, PortService | undefined>();
    const attempt = (tap: string, port: PortService | undefined, work: () => void): void => {
      try {
        work();
      } catch (error) {
        refused.set(tap, port);
        tellRefusal(tap, 'files', error instanceof Error ? error.message : String(error));
      }
    };
    for (const [tap, port] of changed) attempt(tap, port, () => ports.withdraw(tap, port));
    for (const [tap, port] of changed) if (port && !refused.has(tap)) attempt(tap, port, () => ports.serve(port));
    for (const tap of changed.keys()) if (!refused.has(tap)) tellRefusal(tap, 'files', undefined);
    return refused;
  }

  function networkProblems(): NetworkProblems {
    const counts = new Map<string, number>();
    for (const key of model.problems.keys()) counts.set(networkOf(key), (counts.get(networkOf(key)) ?? 0) + 1);
    // What is over is forgotten, so the number of entries has a limit.
    for (const network of lastProblemMs.keys()) if (!counts.has(network)) lastProblemMs.delete(network);
    return new Map([...counts].map(([network, count]) => [network, { count, lastMs: lastProblemMs.get(network) ?? 0 }]));
  }

  return {
    run,
    get serving() {
      return swept;
    },
    get troubles() {
      return { problems: networkProblems(), refusals: tellRefusal.count() };
    },
    inSync() {
      inSync = true;
    },
    etcdChanged(kind, { key, value }) {
      if (kind === 'subnet') model.setSubnet(key, value);
      else model.setEndpoint(key, value);
    },
    reserved(source, reservations) {
      if (!model.setReserved(source, reservations)) return;
      for (const tap of [...tapsInUse(links), ...servers.flatMap((server) => [...server.ports.keys()])]) dirtyTaps.add(tap);
    },
    linksChanged(names) {
      for (const name of names) {
        if (isTapName(name)) model.setTap(name, links.link(name)?.mtuBytes);
        else if (!carriesOurs(links, name)) continue; // neither a tap nor a tap that was renamed
        dirtyTaps.add(name);
      }
    },
  };
}
