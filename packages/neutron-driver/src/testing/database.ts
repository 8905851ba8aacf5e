// A small Neutron database for tests: rows by id that tests change, read as they are at the time of the request.
import { type FloatingIpRow, noRows, type PortRow, type Rows, type RowsQuestion, type RowsSource } from '../rows.ts';
import type { Announcement } from '../sync/announcement.ts';

type Kind = 'ports' | 'subnets' | 'security_groups' | 'address_groups';
type RowOf<K extends Kind> = Rows[K][number];

/** An empty database with these networks. */
export function database(networks: Rows['networks'] = []) {
  const tables: { readonly [K in Kind]: Map<string, RowOf<K>> } = {
    ports: new Map(),
    subnets: new Map(),
    security_groups: new Map(),
    address_groups: new Map(),
  };
  /** The types of networks that are not `local`. */
  const types = new Map<string, string[]>();
  const floatingIps: FloatingIpRow[] = [];

  /** The subnets that rows.py would add for these ports. */
  function subnetsSpokenFor(ports: readonly PortRow[]): string[] {
    const networks = new Set(ports.filter((port) => port.allowed_address_pairs.length > 0 || !port.port_security_enabled).map((port) => port.network_id));
    return [...tables.subnets.values()].filter((subnet) => networks.has(subnet.network_id)).map((subnet) => subnet.id);
  }

  function read(question: RowsQuestion): Rows {
    const pick = <K extends Kind>(kind: K, ids: Iterable<string>): RowOf<K>[] => [...new Set(ids)].flatMap((id) => tables[kind].get(id) ?? []);
    const ports = pick('ports', question.ports);
    const withRules = new Set(question.security_groups);
    const groups = pick('security_groups', [...withRules, ...ports.flatMap((port) => port.security_groups)]);
    const addressGroups = groups
      .filter((group) => withRules.has(group.id))
      .flatMap((group) => (group.rules ?? []).flatMap((rule) => rule.remote_address_group_id ?? []));
    return structuredClone({
      ...noRows,
      ports,
      networks: networks.filter((network) => ports.some((port) => port.network_id === network.id)),
      subnets: pick('subnets', [...question.subnets, ...ports.flatMap((port) => port.fixed_ips.map((ip) => ip.subnet_id)), ...subnetsSpokenFor(ports)]),
      security_groups: groups.map(({ rules, ...group }) => (withRules.has(group.id) ? { ...group, rules } : group)),
      address_groups: pick('address_groups', [...question.address_groups, ...addressGroups]),
      floating_ips: floatingIps.filter((ip) => question.ports.includes(ip.fixed_port_id)),
      paired_floating_ips: floatingIps.flatMap((ip) => {
        const port = tables.ports.get(ip.fixed_port_id);
        return port && ports.some((holder) => holder.allowed_address_pairs.some((pair) => pair.ip_address === ip.fixed_ip_address)) ? [{ ...ip, port }] : [];
      }),
    });
  }

  const source: RowsSource = {
    rows: async (question) => read(question),
    projects: async () => [],
    subnets: async (question) => {
      const found = [...tables.subnets.values()].filter((subnet) =>
        'network' in question ? subnet.network_id === question.network : subnet.cidr.includes(':') === (question.ip_version === 6),
      );
      const ids = new Set([...found.map((subnet) => subnet.network_id), ...('network' in question ? [question.network] : [])]);
      return structuredClone({ subnets: found, networks: [...ids].map((id) => ({ id, types: types.get(id) ?? ['local'], external: false })) });
    },
  };
  return { tables, types, floatingIps, read, source, ids: (kind: Kind): string[] => [...tables[kind].keys()].sort() };
}

/** What `database` returns. */
export type Database = ReturnType<typeof database>;

/** A port as ML2 shows it to a mechanism driver, with its binding's fields. */
export function apiPort(port: PortRow | undefined): Record<string, unknown> | null {
  if (!port) return null;
  const binding = port.bindings[0];
  return {
    id: port.id,
    device_id: port.device_id,
    device_owner: port.device_owner,
    admin_state_up: port.admin_state_up,
    network_id: port.network_id,
    allowed_address_pairs: port.allowed_address_pairs,
    fixed_ips: port.fixed_ips,
    mac_address: port.mac_address,
    security_groups: port.security_groups,
    status: port.status,
    'binding:host_id': binding?.host ?? '',
    'binding:vif_type': binding?.vif_type ?? 'unbound',
    'binding:profile': binding?.profile ?? {},
  };
}

/** An announcement of a change. */
export const announcement = (kind: string, id: string, original: Record<string, unknown> | null, current: Record<string, unknown> | null): Announcement => ({
  kind,
  id,
  original,
  current,
  marks: [],
  rollback: false,
  admin: false,
});
