// Serves the agent's health and metrics where the operator wants them.
import { createHealth, healthPages, type Logger, metricsPages, type Place, startPages } from '@calico-openstack/agent';
import type { Core } from './core.ts';
import type { DnsmasqProcess } from './dnsmasq/supervisor.ts';
import type { FamilyServer } from './family-server.ts';
import type { LastError } from './last-error.ts';
import { agentMetrics, type Protocol } from './metrics.ts';

/** Where the pages are served; undefined where they are not. */
export type PagePlaces = { readonly health: Place | undefined; readonly metrics: Place | undefined };

/** The places to serve at, and the parts of the agent whose health and metrics are served. */
export type StatusOptions = {
  readonly places: PagePlaces;
  readonly core: Pick<Core, 'serving' | 'troubles'>;
  readonly servers: readonly [
    v4: Pick<FamilyServer, 'ports'>,
    v6: Pick<FamilyServer, 'ports'>,
    names: { readonly ports: ReadonlyMap<string, { readonly networkId: string }> },
  ];
  /** The Dnsmasq for DHCPv4, and the one for names, if there is one. */
  readonly dhcp: DnsmasqProcess;
  readonly dns: DnsmasqProcess | undefined;
  readonly lastError: () => LastError | undefined;
  readonly log: Logger;
};

/** Records events of the agent for health and metrics, until closed. */
export interface Status {
  /** Counts a request or query of the port on a tap. */
  asked(tap: string, protocol: Protocol): void;
  /** Records whether a turn of the loop succeeded. */
  worked(isWorking: boolean): void;
  /** Records whether the agent follows etcd. */
  synced(isInSync: boolean): void;
  close(): Promise<void>;
}

/** How often the parts' health is checked, and after what time without a check a part counts as dead. */
const [lookEveryMs, lateMs] = [500, 30_000] as const;

/** Serves the pages until closed. */
export function startStatus({ places, core, servers: [v4, v6, names], dhcp, dns, lastError, log }: StatusOptions): Status {
  let isWorking = true;
  const dnsmasqs = { dhcp, ...(dns && { dns }) };
  const metrics = agentMetrics({
    *ports() {
      for (const [tap, { networkId }] of names.ports)
        yield { networkId, families: [...(v4.ports.has(tap) ? ([4] as const) : []), ...(v6.ports.has(tap) ? ([6] as const) : [])] };
    },
    networkOf: (tap) => names.ports.get(tap)?.networkId,
    dnsmasqs,
    problems: () => core.troubles.problems,
    refusals: () => core.troubles.refusals,
    lastErrorMs: () => lastError()?.atMs,
  });
  const health = createHealth();
  const ports = health.register('Ports', lateMs);
  const processes = Object.entries(dnsmasqs).map(([name, process]) => ({ process, component: health.register(`Dnsmasq (${name})`, lateMs) }));
  const look = (): void => {
    const error = lastError();
    const detail = error ? `last error ${new Date(error.atMs).toISOString()}: ${error.message}` : '';
    ports.report({ live: isWorking, ready: isWorking && core.serving, detail });
    for (const { process, component } of processes) component.report({ live: true, ready: process.isServing() });
  };
  look();
  const looking = setInterval(look, lookEveryMs);
  looking.unref();
  const pages = [startPages('health', healthPages(health), log), startPages('metrics', metricsPages(metrics.registry), log)] as const;
  pages[0].serve(places.health);
  pages[1].serve(places.metrics);
  return {
    asked: metrics.asked,
    worked(isGood) {
      isWorking = isGood;
    },
    synced: (isInSync) => metrics.inSync.set(isInSync ? 1 : 0),
    async close() {
      clearInterval(looking);
      await Promise.all(pages.map((one) => one.close()));
    },
  };
}
