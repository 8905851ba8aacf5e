// The agent's Prometheus metrics.
import { addProcessMetrics, Counter, Gauge, Registry } from '@calico-openstack/agent';
import type { NetworkProblems } from './core.ts';

/** The protocol of a guest's request. Dnsmasq answers DHCPv4, this agent the others. */
export type Protocol = 'dhcpv4' | 'dhcpv6' | 'router-solicitation' | 'dns';

/** The sources of the metrics. */
export type MetricsSources = {
  /** The ports that are served: the network of each, and the families in which it is served. */
  readonly ports: () => Iterable<{ readonly networkId: string; readonly families: readonly (4 | 6)[] }>;
  /** The network of the port that is served on a tap. */
  readonly networkOf: (tap: string) => string | undefined;
  /** The Dnsmasqs by their purpose. */
  readonly dnsmasqs: Readonly<Record<string, { isServing(): boolean; readonly restarts: number }>>;
  /** The ports and subnets that are not served, or only in part. */
  readonly problems: () => NetworkProblems;
  /** The number of ports whose files or addresses the disk or the kernel refuses. */
  readonly refusals: () => number;
  /** When the last warning or error was logged, in milliseconds since 1970. */
  readonly lastErrorMs: () => number | undefined;
};

/** The metrics that the agent sets. */
export interface AgentMetrics {
  readonly registry: Registry;
  readonly inSync: Gauge;
  /** Counts a request of the port on a tap that this agent answers or Dnsmasq has to answer. */
  asked(tap: string, protocol: Protocol): void;
}

/** Creates the metrics. Their values are read from the sources when the page is requested. */
export function agentMetrics({ ports, networkOf, dnsmasqs, problems, refusals, lastErrorMs }: MetricsSources): AgentMetrics {
  const registry = new Registry();
  const registers = [registry];
  addProcessMetrics(registry);
  const name = (of: string): string => `calico_dhcp_agent_${of}`;
  /** The numbers of ports' requests, by network and protocol. A network without ports here is dropped, so the number of entries has a limit. */
  const asked = new Map<string, Map<Protocol, number>>();
  const read = (of: string, help: string, value: () => number): void => {
    new Gauge({
      name: name(of),
      help,
      registers,
      collect() {
        this.set(value());
      },
    });
  };
  const inSync = new Gauge({ name: name('in_sync'), help: 'Whether etcd is followed and was read in full.', registers });
  const readByNetwork = (of: string, help: string, values: () => Iterable<readonly [network: string, value: number]>): void => {
    new Gauge({
      name: name(of),
      help,
      labelNames: ['network'],
      registers,
      collect() {
        this.reset();
        for (const [network, value] of values()) this.set({ network }, value);
      },
    });
  };
  readByNetwork('problems', 'Ports and subnets that are not served, or only in part, by network.', () =>
    [...problems()].map(([network, { count }]) => [network, count] as const),
  );
  readByNetwork('problem_timestamp_seconds', 'When the last problem of a network’s ports and subnets was logged, in seconds since 1970.', () =>
    [...problems()].map(([network, { lastMs }]) => [network, lastMs / 1000] as const),
  );
  read('refusals', 'Refusals by the disk or the kernel for single ports, which are retried.', refusals);
  read('last_error_timestamp_seconds', 'When the last warning or error was logged, in seconds since 1970; 0 when none was.', () => (lastErrorMs() ?? 0) / 1000);
  new Gauge({
    name: name('ports'),
    help: 'Ports that are served, by network and family.',
    labelNames: ['network', 'family'],
    registers,
    collect() {
      this.reset();
      for (const { networkId: network, families } of ports()) for (const family of families) this.inc({ network, family: `ipv${family}` });
    },
  });
  new Counter({
    name: name('requests_total'),
    help: 'Requests of served ports, by network and protocol: answered by the agent, or, for dhcpv4, by Dnsmasq.',
    labelNames: ['network', 'protocol'],
    registers,
    collect() {
      const networks = new Set([...ports()].map(({ networkId }) => networkId));
      for (const network of asked.keys()) if (!networks.has(network)) asked.delete(network);
      this.reset();
      for (const [network, counts] of asked) for (const [protocol, count] of counts) this.inc({ network, protocol }, count);
    },
  });
  new Gauge({
    name: name('dnsmasq_up'),
    help: 'Whether a Dnsmasq runs and answers, by its purpose.',
    labelNames: ['dnsmasq'],
    registers,
    collect() {
      for (const [dnsmasq, process] of Object.entries(dnsmasqs)) this.set({ dnsmasq }, process.isServing() ? 1 : 0);
    },
  });
  new Counter({
    name: name('dnsmasq_restarts_total'),
    help: 'How often a Dnsmasq was restarted, by its purpose.',
    labelNames: ['dnsmasq'],
    registers,
    collect() {
      this.reset();
      for (const [dnsmasq, { restarts }] of Object.entries(dnsmasqs)) this.inc({ dnsmasq }, restarts);
    },
  });
  return {
    registry,
    inSync,
    asked(tap, protocol) {
      const network = networkOf(tap);
      if (network === undefined) return;
      const counts = asked.get(network) ?? new Map<Protocol, number>();
      asked.set(network, counts.set(protocol, (counts.get(protocol) ?? 0) + 1));
    },
  };
}
