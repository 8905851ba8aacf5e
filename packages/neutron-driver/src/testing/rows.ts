// Small rows for tests. Tests change the fields that they are about.
import { type FloatingIpRow, noRows, type PortRow, type Rows, type RuleRow, type SubnetRow } from '../rows.ts';

export const networkId = 'c0de0000-2222-4222-8222-222222222222';
export const subnetId = '5e5e0000-3333-4333-8333-333333333333';
export const portId = '9f8e7d6c-1111-4111-8111-11111111cafe';
export const deviceId = '1d2c3b4a-0000-4000-8000-00000000beef';
export const groupId = 'aa110000-4444-4444-8444-444444444444';
export const projectId = '77aa';

/** A port's binding to a host. */
export const bindingRow = (host: string, vifType = 'tap', profile: Record<string, unknown> = {}, status = 'ACTIVE'): PortRow['bindings'][number] => ({
  host,
  status,
  vif_type: vifType,
  profile,
});

/** A VM's port that is bound as a tap. */
export const portRow = (changes: Partial<PortRow> = {}): PortRow => ({
  id: portId,
  network_id: networkId,
  project_id: projectId,
  mac_address: 'fa:16:3e:10:20:30',
  admin_state_up: true,
  status: 'DOWN',
  device_id: deviceId,
  device_owner: 'compute:nova',
  fixed_ips: [{ ip_address: '10.40.0.7', subnet_id: subnetId }],
  bindings: [bindingRow('cmp-01')],
  security_groups: [groupId],
  allowed_address_pairs: [],
  port_security_enabled: true,
  extra_dhcp_opts: [],
  dns: null,
  qos_policy_id: undefined,
  ...changes,
});

/** A floating IP of that port. */
export const floatingIpRow = (changes: Partial<FloatingIpRow> = {}): FloatingIpRow => ({
  id: 'f1',
  status: 'DOWN',
  fixed_port_id: portId,
  fixed_ip_address: '10.40.0.7',
  floating_ip_address: '203.0.113.9',
  ...changes,
});

/** A subnet. */
export const subnetRow = (changes: Partial<SubnetRow> = {}): SubnetRow => ({
  id: subnetId,
  network_id: networkId,
  cidr: '10.40.0.0/24',
  gateway_ip: '10.40.0.1',
  enable_dhcp: true,
  host_routes: [],
  dns_nameservers: [],
  ipv6_ra_mode: undefined,
  ipv6_address_mode: undefined,
  ...changes,
});

/** A security group rule. */
export const ruleRow = (changes: Partial<RuleRow> = {}): RuleRow => ({
  id: 'rule-1',
  security_group_id: groupId,
  direction: 'ingress',
  ethertype: 'IPv4',
  protocol: undefined,
  port_range_min: undefined,
  port_range_max: undefined,
  remote_ip_prefix: undefined,
  remote_group_id: undefined,
  remote_address_group_id: undefined,
  ...changes,
});

/** An answer with these rows. */
export const rowsWith = (changes: Partial<Rows> = {}): Rows => ({ ...noRows, ...changes });
