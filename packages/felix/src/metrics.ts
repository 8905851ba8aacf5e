// Felix's metrics for Prometheus. They have Calico's names, types and labels where Calico has them; docs/metrics.md says which of Calico's there are not, and why.
import { addProcessMetrics, Counter, Gauge, Registry, Summary } from '@calico-openstack/agent';
import { type DesiredChange, type Plural, resourceRoot } from '@calico-openstack/datamodel';
import type { TableCounts } from '@calico-openstack/kernel';
import type { Counts } from '@calico-openstack/policy';
import type { RouteCounts } from './devices.ts';

/** The sources of gauges that are computed only when the page of metrics is requested. */
export type Sizes = {
  readonly calculation: () => Counts;
  /** Our tables, by their family. */
  readonly tables: () => Readonly<Record<'inet' | 'arp', TableCounts>>;
  /** Undefined until the datastore has been read. */
  readonly routes: () => RouteCounts | undefined;
};

/** The metrics, of which the properties' help texts say more. */
export type Metrics = {
  /** All metrics, for the HTTP page. */
  readonly registry: Registry;
  readonly resyncState: Gauge;
  readonly resyncsStarted: Counter;
  readonly localEndpoints: Gauge;
  readonly dataplaneFailures: Counter;
  /** Datastore values for which Felix has thrown. */
  readonly faults: Counter;
  /** Datastore keys that are not UTF-8. */
  readonly unreadableKeys: Gauge;
  readonly applySeconds: Summary;
  readonly initialResyncSeconds: Gauge;
  readonly calculationSeconds: Summary;
  readonly linkBatch: Summary;
  /** Counts the updates of one batch of the datastore, by the kind of their key. */
  noteUpdates(keys: Iterable<string>): void;
  /** Counts what the calculation hands to the dataplane. */
  noteChange(change: DesiredChange): void;
  /** Chains of other programs that drop packets of workloads. */
  readonly droppingChains: Gauge;
  /** Sysctls that were written again. */
  readonly restoredSysctls: Counter;
  /** Sets how many addresses, gateways and floating IPs a workload is refused. */
  noteRefusals(id: string, count: number): void;
  /** Notes that a datastore value has become invalid (`present`), or is valid again or gone. */
  noteDefect(key: string, present: boolean): void;
};

const percentiles = [0.5, 0.9, 0.99];

/** Metrics that all start at zero. @param host the label of `felix_host` */
export function createMetrics(host: string, sizes: Sizes): Metrics {
  const registry = new Registry();
  const registers = [registry];
  addProcessMetrics(registry);
  addSizes(registry, sizes);
  addTables(registry, sizes.tables);
  const counter = (name: string, help: string): Counter => new Counter({ name, help, registers });
  const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers });
  const summary = (name: string, help: string): Summary => new Summary({ name, help, percentiles, registers });
  new Gauge({ name: 'felix_host', help: 'Always 1; the label is the name of this host.', labelNames: ['host'], registers }).set({ host }, 1);
  const updates = new Counter({
    name: 'felix_calc_graph_updates_processed',
    help: 'Datastore updates processed, by the kind of their key.',
    labelNames: ['type'],
    registers,
  });
  const messages = new Counter({
    name: 'felix_int_dataplane_messages',
    help: 'Objects that the calculation added, changed or removed, by kind.',
    labelNames: ['type'],
    registers,
  });
  const outputEvents = counter('felix_calc_graph_output_events', 'Objects that the calculation added, changed or removed.');
  const batch = summary('felix_int_dataplane_msg_batch_size', 'Objects of the calculation that were programmed in one step.');
  const refusals = new Map<string, number>();
  const refused = gauge(
    'felix_refused_addresses',
    'Addresses that workloads of this host are refused, because somebody else has them or no workload may have them.',
  );
  const defects = new Set<string>();
  const invalid = gauge('felix_invalid_values', 'Datastore values that are not valid; where they are in doubt, packets are denied.');
  return {
    registry,
    resyncState: gauge('felix_resync_state', 'State of the connection to the datastore: 1 waiting, 2 reading, 3 in sync.'),
    resyncsStarted: counter('felix_resyncs_started', 'How often reading the whole datastore was begun.'),
    faults: counter('felix_value_faults', 'Datastore values that Felix failed to process by a fault of its own; they count as absent.'),
    unreadableKeys: gauge('felix_unreadable_keys', 'Datastore keys that are not UTF-8, and are ignored.'),
    localEndpoints: gauge('felix_active_local_endpoints', 'Workload endpoints of this host.'),
    dataplaneFailures: counter('felix_int_dataplane_failures', 'Failed attempts to program the kernel, each of which was retried.'),
    applySeconds: summary('felix_int_dataplane_apply_time_seconds', 'Seconds from processing a change to the kernel having it.'),
    initialResyncSeconds: gauge(
      'felix_int_dataplane_initial_resync_time_seconds',
      'Seconds from the start of the process until the kernel was programmed for the first time as the datastore requires; 0 until then.',
    ),
    calculationSeconds: summary('felix_calc_graph_update_time_seconds', 'Seconds that the calculation took for each batch of updates of the datastore.'),
    linkBatch: summary('felix_int_dataplane_iface_msg_batch_size', 'How many interfaces changed at once.'),
    noteUpdates(keys) {
      for (const [type, count] of countBy(keys, typeOf)) updates.inc({ type }, count);
    },
    noteChange(change) {
      const kinds = messagesOf(change);
      const all = kinds.reduce((sum, [, count]) => sum + count, 0);
      if (all === 0) return;
      for (const [type, count] of kinds) messages.inc({ type }, count);
      outputEvents.inc(all);
      batch.observe(all);
    },
    droppingChains: gauge('felix_dropping_foreign_chains', 'nftables chains of other programs that drop packets of workloads whatever Felix’s rules say.'),
    restoredSysctls: counter('felix_restored_sysctls', 'Sysctls of workload interfaces that other programs had changed, and that were written again.'),
    noteRefusals(id, count) {
      if (count > 0) refusals.set(id, count);
      else if (!refusals.delete(id)) return;
      refused.set([...refusals.values()].reduce((sum, each) => sum + each, 0));
    },
    noteDefect(key, present) {
      if (present) defects.add(key);
      else defects.delete(key);
      invalid.set(defects.size);
    },
  };
}

/** The gauges whose values are computed when the page is requested. */
function addSizes(registry: Registry, { calculation, routes }: Sizes): void {
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  };
  gauge('felix_active_local_policies', 'Policies that apply to an endpoint of this host.', () => calculation().activePolicies);
  gauge('felix_active_local_selectors', 'Distinct selectors in the rules that apply to endpoints of this host.', () => calculation().selectors);
  gauge('felix_cluster_num_hosts', 'Hosts that have a Node or a workload endpoint.', () => calculation().hosts);
  gauge('felix_cluster_num_workload_endpoints', 'Workload endpoints of all hosts.', () => calculation().workloadEndpoints);
  gauge('felix_cluster_num_host_endpoints', 'Host endpoints of all hosts.', () => calculation().hostEndpoints);
  gauge('felix_cluster_num_tiers', 'Tiers.', () => calculation().tiers);
  gauge('felix_cluster_num_policies', 'Policies of all tiers.', () => calculation().policies);
  gauge('felix_cluster_num_profiles', 'Profiles.', () => calculation().profiles);
  gauge('felix_label_index_num_endpoints', 'Endpoints and network sets of all hosts, which selectors may match.', () => calculation().contributors);
  new Gauge({
    name: 'felix_label_index_num_active_selectors',
    help: 'The selectors of felix_active_local_selectors, by whether an index serves them; a selector without an index is evaluated for every new set of labels.',
    labelNames: ['optimized'],
    registers,
    collect() {
      const { selectors, scanned } = calculation();
      this.set({ optimized: 'true' }, selectors - scanned);
      this.set({ optimized: 'false' }, scanned);
    },
  });
  const table = { 4: 'IPv4:254', 6: 'IPv6:254' } as const;
  new Gauge({
    name: 'felix_route_table_num_routes',
    help: 'Routes to workloads of this host, by family; 254 is the main table.',
    labelNames: ['table'],
    registers,
    collect() {
      const counts = routes();
      for (const family of [4, 6] as const) this.set({ table: table[family] }, counts?.routes[family] ?? 0);
    },
  });
  new Gauge({
    name: 'felix_route_table_num_ifaces',
    help: 'Interfaces of workloads that routes lead to.',
    labelNames: ['table'],
    registers,
    collect() {
      for (const each of Object.values(table)) this.set({ table: each }, routes()?.interfaces ?? 0);
    },
  });
}

/** The metrics of our two tables. Upstream has one for each family; ours for IP serves both, so its label is `inet`. */
function addTables(registry: Registry, tables: Sizes['tables']): void {
  const registers = [registry];
  const sum = (of: (counts: TableCounts) => number): number => Object.values(tables()).reduce((total, counts) => total + of(counts), 0);
  const counter = (name: string, help: string, of: (counts: TableCounts) => number): void => {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(sum(of));
      },
    });
  };
  counter('felix_nft_calls', 'Transactions that the kernel accepted.', ({ committed }) => committed);
  counter('felix_nft_errors', 'Transactions that the kernel refused.', ({ refused }) => refused);
  counter('felix_nft_list_calls', 'How often a whole table was read and compared.', ({ readings }) => readings);
  for (const [what, of] of [
    ['chains', 'Chains'],
    ['rules', 'Rules'],
    ['sets', 'Sets'],
    ['maps', 'Maps'],
  ] as const)
    new Gauge({
      name: `felix_nft_${what}`,
      help: `${of} of our tables, by family: inet, which is IPv4 and IPv6, and arp.`,
      labelNames: ['ip_version'],
      registers,
      collect() {
        for (const [family, counts] of Object.entries(tables())) this.set({ ip_version: family }, counts[what]);
      },
    });
}

function countBy<T>(all: Iterable<T>, nameOf: (one: T) => string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const one of all) {
    const name = nameOf(one);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

/** Upstream's names of the kinds of keys. A resource that it turns into several keys counts here once, as the one that says most. */
const types: Readonly<Record<string, string>> = {
  workloadendpoints: 'WorkloadEndpointKey',
  hostendpoints: 'HostEndpointKey',
  networkpolicies: 'PolicyKey',
  globalnetworkpolicies: 'PolicyKey',
  tiers: 'TierKey',
  profiles: 'ProfileRulesKey',
  networksets: 'NetworkSetKey',
  globalnetworksets: 'NetworkSetKey',
  ippools: 'IPPoolKey',
  nodes: 'HostIPKey',
  felixconfigurations: 'GlobalConfigKey',
  clusterinformations: 'ReadyFlagKey',
} satisfies Partial<Record<Plural, string>>;

const typeOf = (key: string): string => types[key.slice(resourceRoot.length, key.indexOf('/', resourceRoot.length))] ?? 'ResourceKey';

const ipSetMessages = { whole: 'IPSetUpdate', members: 'IPSetDeltaUpdate', removed: 'IPSetRemove' } as const;

/** The parts of a change, under the names of upstream's messages to its dataplane. */
function messagesOf({ workloads, hostEndpoints, policies, profiles, ipSets, pools }: DesiredChange): readonly (readonly [string, number])[] {
  const kinds = [
    ['WorkloadEndpoint', workloads],
    ['HostEndpoint', hostEndpoints],
    ['ActivePolicy', policies],
    ['ActiveProfile', profiles],
    ['IPAMPool', pools],
  ] as const;
  const counted = kinds.flatMap(([name, changes]) => {
    let gone = 0;
    for (const value of changes.values()) if (value === undefined) gone += 1;
    return [
      [`${name}Update`, changes.size - gone],
      [`${name}Remove`, gone],
    ] as const;
  });
  const sets = countBy(ipSets.values(), ({ change }) => ipSetMessages[change]);
  return [...counted, ...sets].filter(([, count]) => count > 0);
}
