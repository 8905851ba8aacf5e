// Options of Neutron's DHCP agent that have no effect here. An operator who has set one gets a complaint once, instead of believing that it is in force.
import { type Complaint, shownValue, type Unknown } from '@calico-openstack/agent';

const noResync = 'nothing is compared by the clock; changes come from etcd as they happen';
const routedMetadata = "guests reach Nova's metadata service through their gateway, with the help of Felix (MetadataAddr, MetadataPort)";
const tapsOfNova = 'ports are served on the taps that Nova makes; the agent makes no interfaces of its own';

/** Options in section [DEFAULT] of neutron.conf or dhcp_agent.ini, with Neutron's default and the reason why they have no effect here. The names and defaults are those of Neutron 2023 to 2026. */
const notActedOn: ReadonlyMap<string, { readonly usual: string; readonly reason: string }> = new Map(
  (
    [
      ['resync_interval', '5', noResync],
      ['resync_throttle', '1', noResync],
      ['num_sync_threads', '4', noResync],
      ['bulk_reload_interval', '0', 'a change of a port costs the files of that port alone, and Dnsmasq is told at once, or within a second'],
      ['dhcp_driver', 'neutron.agent.linux.dhcp.Dnsmasq', 'the agent always serves with Dnsmasq, two for each host'],
      ['interface_driver', '', tapsOfNova],
      ['ovs_integration_bridge', 'br-int', tapsOfNova],
      ['ovs_use_veth', 'false', tapsOfNova],
      ['enable_isolated_metadata', 'false', routedMetadata],
      ['force_metadata', 'false', routedMetadata],
      ['enable_metadata_network', 'false', routedMetadata],
      ['dnsmasq_enable_addr6_list', 'false', 'a port always gets each of its IPv6 addresses'],
      ['dhcp_delete_namespaces', 'true', tapsOfNova],
      ['use_namespaces', 'true', tapsOfNova],
    ] as const
  ).map(([name, usual, reason]) => [name, { usual, reason }]),
);

/** Complaints about options of Neutron's DHCP agent that are set to something else than their default, and have no effect here. */
export const complaintsOfNeutronOptions = (unknown: readonly Unknown[]): readonly Complaint[] =>
  unknown.flatMap(({ name, text, source }) => {
    const option = /^DEFAULT\/(.*)$/s.exec(name)?.[1] ?? '';
    const known = notActedOn.get(option);
    if (known === undefined || text.trim().toLowerCase() === known.usual.toLowerCase()) return [];
    return [{ option: `[DEFAULT] ${option}`, source: source.name, value: shownValue(option, text), problem: `this agent does not act on it: ${known.reason}` }];
  });
