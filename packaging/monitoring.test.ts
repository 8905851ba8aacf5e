// The alert rules and the dashboard name metrics that the executables have. What Prometheus itself says of them is in clean.system.test.ts.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { registries } from '../tools/options.ts';

const read = (file: string): string => readFileSync(join(import.meta.dirname, 'monitoring', file), 'utf8');
const known = new Set(Object.values(registries).flatMap((registry) => registry.getMetricsAsArray().map(({ name }) => name)));

test.each(['alerts.yml', 'alerts.test.yml', 'dashboard.json'])('%s names no metric that nobody has', (file) => {
  const named = new Set(read(file).match(/\b(felix|calico_bird_agent|calico_dhcp_agent|calico_neutron_driver|process)_[a-z_]+\b/g));
  expect(named.size).toBeGreaterThan(3);
  expect([...named].filter((name) => !known.has(name))).toEqual([]);
});

/** Every family that upstream's Felix serves of its own, in its nftables mode. */
const upstreams =
  `host resync_state resyncs_started calc_graph_updates_processed calc_graph_output_events calc_graph_update_time_seconds active_local_endpoints active_local_policies
active_local_selectors cluster_num_hosts cluster_num_host_endpoints cluster_num_workload_endpoints cluster_num_tiers cluster_num_policies cluster_num_profiles label_index_num_endpoints
label_index_num_active_selectors label_index_selector_evals label_index_strategy_evals int_dataplane_failures int_dataplane_messages int_dataplane_initial_resync_time_seconds
int_dataplane_apply_time_seconds int_dataplane_msg_batch_size int_dataplane_iface_msg_batch_size int_dataplane_addr_msg_batch_size nft_calls nft_errors nft_list_calls nft_list_errors nft_chains
nft_rules nft_sets nft_maps nft_flowtable_devices nft_flowtable_missing_devices nft_set_calls nft_set_errors route_table_num_routes route_table_num_ifaces route_table_list_seconds
route_table_per_iface_sync_seconds route_table_resync_seconds route_table_partial_resync_seconds route_table_conntrack_wait_seconds exec_time_micros ipset_calls ipset_errors
ipset_lines_executed ipsets_calico ipsets_total iptables_restore_calls iptables_restore_errors iptables_save_calls iptables_save_errors iptables_chains iptables_rules iptables_lines_executed
logs_dropped log_errors`
    .split(/\s+/)
    .map((name) => `felix_${name}`);

test('each of upstream’s metrics is served under its name, or docs/metrics.md says why not', () => {
  const lines = readFileSync(join(import.meta.dirname, '../docs/metrics.md'), 'utf8')
    .split('<!-- end of what is printed -->')[1]!
    .split('\n');
  const rows = lines.filter((line) => line.startsWith('| ')).map((line) => line.split(' | ')[0]);
  const page = rows.join('\n'); // the first column of the tables
  const explained = [...page.matchAll(/`(felix_\w+)(…?)`/g)].map(([, name, rest]) => ({ name: name!, isFamily: rest !== '' }));
  const isExplained = (name: string): boolean => explained.some((each) => (each.isFamily ? name.startsWith(each.name) : name === each.name));
  expect(upstreams.filter((name) => !known.has(name) && !isExplained(name))).toEqual([]);
  expect(upstreams.filter((name) => known.has(name) && isExplained(name))).toEqual([]);
  expect(upstreams.filter((name) => known.has(name)).length).toBeGreaterThan(30);
});
