// Complains of unknown names in section [calico] of neutron.conf, which several parts read. Otherwise a misspelt `etcd_hots` would silently lead to an etcd on 127.0.0.1.
import { shownValue } from './ini.ts';
import type { Complaint, Unknown } from './resolve.ts';

/** The options of the section that the driver or the DHCP agent acts on. */
export const calicoSectionNames: ReadonlySet<string> = new Set(
  `
address_overlaps agent_report_interval_secs allowed_address_pair_prefixes bird_config_file commit_patience_secs daemon_patience_secs dhcp_agent_health_enabled
dhcp_agent_health_host dhcp_agent_health_port dhcp_agent_metrics_ca_file
dhcp_agent_metrics_cert_file dhcp_agent_metrics_client_auth dhcp_agent_metrics_enabled dhcp_agent_metrics_host dhcp_agent_metrics_key_file dhcp_agent_metrics_port egress_burst_bits egress_burst_packets egress_minburst_bytes elector_name etcd_ca_cert_file
etcd_cert_file etcd_compaction_min_revisions etcd_compaction_period_mins etcd_endpoints etcd_host etcd_key_file etcd_password etcd_port etcd_scheme etcd_timeout etcd_username
ingress_burst_bits ingress_burst_packets ingress_minburst_bytes max_egress_connections_per_port max_ingress_connections_per_port neutron_driver_log_file neutron_driver_log_severity
neutron_driver_metrics_ca_file neutron_driver_metrics_cert_file neutron_driver_metrics_client_auth neutron_driver_metrics_enabled neutron_driver_metrics_host neutron_driver_metrics_key_file
neutron_driver_metrics_port neutron_driver_socket neutron_driver_state_dir neutron_rows_command num_port_status_threads openstack_region outage_patience_secs project_name_cache_max reserved_prefix_subnets reserved_prefixes startup_resync
`
    .trim()
    .split(/\s+/),
);

/** Options of upstream's driver that have no effect here, with the reason. */
const upstreamNames: ReadonlyMap<string, string> = new Map([
  ['resync_interval_secs', 'nothing is compared by the clock; calico-resync compares everything'],
  ['resync_max_interval_secs', 'nothing is compared by the clock; calico-resync compares everything'],
  ['startup_resync_inject_per_item_delay_ms', 'it is for tests of upstream alone'],
  ['fairy_gc_diagnostics', 'there is no such leak to look for'],
]);

/** Complaints of names in section [calico] that nothing acts on. Names in other sections are skipped, because they belong to other programs. */
export const complaintsOfCalicoSection = (unknown: readonly Unknown[]): readonly Complaint[] =>
  unknown.flatMap(({ name, text, source }) => {
    const [, option = ''] = /^calico\/(.*)$/s.exec(name) ?? [];
    if (option === '' || calicoSectionNames.has(option)) return [];
    const upstream = upstreamNames.get(option);
    const problem =
      upstream === undefined ? 'there is no such option; it is ignored, so see that its name is right' : `this version does not act on it: ${upstream}`;
    // The text of an unknown option is not shown, because the option may be a misspelt password.
    const value = upstream === undefined ? '…' : shownValue(option, text);
    return [{ option: `[calico] ${option}`, source: source.name, value, problem }];
  });
