// Measures resync on a real Neutron: into an empty etcd (cold), and when nothing differs (steady). The ports come into Neutron's database by SQL: by its API they would take hours.
import { join } from 'node:path';
import { bringUp, type Lab } from '../lab/lab.ts';
import { until } from '../lab/wait.ts';
import type { Bench, Measurement } from './bench.ts';

/** The bench `resync`. */
export const bench: Bench = {
  description: 'calico-resync on a real Neutron: into an empty etcd, and when nothing differs',
  options: { ports: 'numbers of ports, separated by commas [10000]' },
  async run(options, progress) {
    const results: Measurement[] = [];
    for (const ports of (options.get('ports') ?? '10000').split(',').map(Number)) results.push(...(await measure(ports, progress)));
    return results;
  },
};

/** The targets in milliseconds: when nothing differs, a second for each 10 000 ports; and 10 s into an empty etcd, where there are no more than 10 000. */
const steadyTarget = (ports: number) => (ports <= 100_000 ? { target: ports <= 10_000 ? 1000 : 10_000 } : {});
const coldTarget = (ports: number) => (ports <= 10_000 ? { target: 10_000 } : {});

async function measure(ports: number, progress: (line: string) => void): Promise<Measurement[]> {
  const lab = await bringUp({ prefix: `rb${process.pid % 10_000}`, hosts: 1, without: ['felix', 'dhcp-agent', 'bird-agent'] });
  try {
    progress(`inserting ${ports} ports`);
    await insertPorts(lab, ports);
    const cold = await resync(lab);
    progress(`cold: ${JSON.stringify(cold)}`);
    await until('the driver to look once more at what it wrote', async () => (await resync(lab)).endpoints.created === 0 || undefined, { timeoutMs: 300_000 });
    const steady = await resync(lab);
    progress(`steady: ${JSON.stringify(steady)}`);
    if (cold.endpoints.created !== ports) throw new Error(`the cold resync made ${cold.endpoints.created} endpoints of ${ports}`);
    if (steady.endpoints.correct !== ports) throw new Error(`the steady resync found ${steady.endpoints.correct} endpoints right of ${ports}`);
    return [
      { metric: 'cold resync, ms', at: ports, value: cold.totalMs, ...coldTarget(ports) },
      { metric: 'steady resync, ms', at: ports, value: steady.totalMs, ...steadyTarget(ports) },
      { metric: 'steady resync, of which Neutron’s rows, ms', at: ports, value: steady.endpoints.neutron_read_ms },
    ];
  } finally {
    await lab.down();
  }
}

const executable = join(import.meta.dirname, '../node_modules/.bin/calico-resync');

type Endpoints = { readonly created: number; readonly correct: number; readonly neutron_read_ms: number };

async function resync(lab: Lab): Promise<{ readonly totalMs: number; readonly endpoints: Endpoints }> {
  const run = { on: lab.plan.control, env: { PYTHONPATH: lab.neutron.pythonPath }, timeoutMs: 600_000 };
  const text = await lab.processes.run(executable, ['--config-file', lab.neutron.configuration, '--quiet'], run);
  const { ok, error, total_ms, phases } = JSON.parse(text) as { ok: boolean; error: string | null; total_ms: number; phases: { endpoints: Endpoints } };
  if (!ok) throw new Error(`resync failed: ${error}`);
  return { totalMs: total_ms, endpoints: phases.endpoints };
}

/** The id of a port that `insertPorts` inserts, which is also its VM's. @param seq from 1 */
export const portOf = (seq: number): string => `00000000-0000-4000-8000-${String(seq).padStart(12, '0')}`;

/** Inserts VMs' ports that are bound on hosts with 20 ports each, with a security group and an address each, as ML2 would have written them. */
export async function insertPorts(lab: Lab, ports: number): Promise<void> {
  const { openstack, mariadb } = lab;
  const network = await openstack.create('network', { name: 'bench' });
  const subnet = await openstack.create('subnet', { network_id: network.id, ip_version: 4, cidr: '10.64.0.0/12', enable_dhcp: false });
  const group = await openstack.create('security_group', { name: 'bench' });
  const { project_id } = network as unknown as { project_id: string };
  const id = "CONCAT('00000000-0000-4000-8000-', LPAD(seq, 12, '0'))";
  const all = `FROM seq_1_to_${ports}`;
  for (const statement of [
    `INSERT INTO standardattributes (id, resource_type, revision_number) SELECT 1000000 + seq, 'ports', 1 ${all}`,
    `INSERT INTO ports (project_id, id, name, network_id, mac_address, admin_state_up, status, device_id, device_owner, ip_allocation, standard_attr_id)
     SELECT '${project_id}', ${id}, '', '${network.id}', CONCAT('fa:16:3e:', INSERT(INSERT(LPAD(HEX(seq), 6, '0'), 5, 0, ':'), 3, 0, ':')), 1, 'ACTIVE', ${id}, 'compute:nova',
     'immediate', 1000000 + seq ${all}`,
    `INSERT INTO ipallocations (port_id, ip_address, subnet_id, network_id) SELECT ${id}, INET_NTOA(INET_ATON('10.64.1.0') + seq), '${subnet.id}', '${network.id}' ${all}`,
    `INSERT INTO ml2_port_bindings (port_id, host, vnic_type, profile, vif_type, vif_details, status)
     SELECT ${id}, CONCAT('host-', seq DIV 20), 'normal', '', 'tap', '', 'ACTIVE' ${all}`,
    `INSERT INTO securitygroupportbindings (port_id, security_group_id) SELECT ${id}, '${group.id}' ${all}`,
  ])
    await mariadb.sql(`USE neutron; ${statement}`);
}
