// Neutron on a clean machine: Debian's server with MariaDB, without Keystone and without a message broker, and a cloud made with it.
import { expect } from 'vitest';
import type { CleanMachine } from './clean-machine.ts';
import type { System } from './clean-root.ts';

/** Debian 12 with what a Neutron server needs, and Ansible. */
export const serverSystem: System = { suite: 'bookworm', extra: ['neutron-server', 'mariadb-server', 'ansible-core'] };

/** An uplink, so that the machine has an address that a host can have, and a name for the host. */
export const hostFiles: Readonly<Record<string, string>> = {
  '/etc/hostname': 'host0\n',
  '/etc/hosts': '127.0.0.1 localhost\n192.0.2.10 host0\n',
  '/etc/systemd/system/uplink.service': `[Unit]\nBefore=network.target bird.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'ip link set lo up; ip link add uplink type veth peer name fabric; ip link set fabric up; ip link set uplink up; ip addr add 192.0.2.10/24 dev uplink; ip route add default via 192.0.2.1'\n`,
  // As Ubuntu's package has it; Debian's has two services that need a message broker.
  '/etc/systemd/system/neutron-server.service':
    '[Service]\nUser=neutron\nExecStart=/usr/bin/neutron-server --config-file /etc/neutron/neutron.conf --config-file /etc/neutron/plugins/ml2/ml2_conf.ini\n',
  '/etc/systemd/system/multi-user.target.d/test.conf': '[Unit]\nWants=uplink.service\n',
};

const ini = (file: string, section: string, key: string, value: string): string => `python3 - ${file} ${section} ${key} '${value}' <<'END'
import configparser, sys
file, section, key, value = sys.argv[1:]
one = configparser.RawConfigParser(strict=False)
one.optionxform = str
one.read(file)
if section != 'DEFAULT' and not one.has_section(section): one.add_section(section)
one.set(section, key, value)
with open(file, 'w') as out: one.write(out)
END
`;

/** Makes Neutron's database, and writes what an installed Neutron has in its configuration. */
export async function prepareNeutron(machine: CleanMachine): Promise<void> {
  await machine.run('systemctl stop neutron-api neutron-rpc-server 2>/dev/null || true; systemctl start mariadb');
  await machine.until('mysqladmin ping');
  await machine.run('mysql -e "CREATE DATABASE neutron; CREATE USER neutron@localhost IDENTIFIED BY \'lab\'; GRANT ALL ON neutron.* TO neutron@localhost"');
  const settings: readonly (readonly [string, string, string])[] = [
    ['database', 'connection', 'mysql+pymysql://neutron:lab@localhost/neutron?unix_socket=/run/mysqld/mysqld.sock'],
    ['DEFAULT', 'transport_url', 'fake:/'],
    ['DEFAULT', 'auth_strategy', 'noauth'],
    ['DEFAULT', 'api_workers', '0'],
    ['DEFAULT', 'rpc_workers', '0'],
    ['DEFAULT', 'notify_nova_on_port_status_changes', 'false'],
    ['DEFAULT', 'notify_nova_on_port_data_changes', 'false'],
    ['DEFAULT', 'core_plugin', 'ml2'],
  ];
  await machine.run(settings.map((setting) => ini('/etc/neutron/neutron.conf', ...setting)).join(''));
  await machine.run('neutron-db-manage --config-file /etc/neutron/neutron.conf upgrade heads >/dev/null 2>&1');
}

/** Starts Neutron's server anew with the configuration that is there, as `user`, and waits until it answers. */
export async function startNeutron(machine: CleanMachine, user: string): Promise<void> {
  await machine.run(`mkdir -p /etc/systemd/system/neutron-server.service.d; printf '[Service]\\nUser=${user}\\n' > /etc/systemd/system/neutron-server.service.d/user.conf
systemctl daemon-reload; systemctl restart neutron-server`);
  await answers(machine);
}

const answers = (machine: CleanMachine): Promise<string> => machine.until('curl -sSf http://127.0.0.1:9696/v2.0/networks');

/** Creates an object by Neutron's API, and returns its id. */
async function create(machine: CleanMachine, kind: string, fields: object): Promise<string> {
  const body = JSON.stringify({ [kind]: { tenant_id: 'tenant', ...fields } });
  const said = await machine.run(`curl -sS -X POST -H 'Content-Type: application/json' -d '${body}' http://127.0.0.1:9696/v2.0/${kind}s`);
  const made = (JSON.parse(said) as Record<string, { id: string } | undefined>)[kind];
  if (made === undefined) throw new Error(`Neutron refuses to create a ${kind}: ${said}`);
  return made.id;
}

/**
 * Makes a network, a subnet and a port that is bound to this host, plugs its tap, and waits for all that the parts do then: Neutron lists the host's agent, the endpoint is in etcd, a route
 * leads to the tap, Dnsmasq serves, and the port is ACTIVE in Neutron.
 */
export async function story(machine: CleanMachine): Promise<void> {
  await answers(machine);
  await machine.until('curl -sSf http://127.0.0.1:9696/v2.0/agents | grep calico-felix');
  const network = await create(machine, 'network', { name: 'n' });
  await create(machine, 'subnet', { network_id: network, ip_version: 4, cidr: '10.65.0.0/24' });
  const port = await create(machine, 'port', { network_id: network, 'binding:host_id': 'host0', device_id: 'vm', device_owner: 'compute:nova' });
  const tap = `tap${port.slice(0, 11)}`;
  expect(await machine.until('ETCDCTL_API=3 etcdctl get --prefix --keys-only /calico/resources/v3/projectcalico.org/workloadendpoints | grep .')).toContain(
    port.slice(0, 8),
  );
  await machine.run(`ip link add ${tap} type veth peer name guest; ip link set ${tap} up; ip link set guest up`);
  expect(await machine.until('ip -4 route | grep "dev tap"')).toMatch(new RegExp(`^10\\.65\\.0\\.\\d+ dev ${tap}`));
  await machine.until('pgrep dnsmasq');
  await machine.until(`curl -sSf http://127.0.0.1:9696/v2.0/ports/${port} | grep -E '"status": ?"ACTIVE"'`);
}
