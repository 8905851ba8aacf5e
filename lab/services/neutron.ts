import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Joined } from '../plan.ts';
import type { Processes } from '../process.ts';
import type { Keystone } from './keystone.ts';
import { administrator } from './keystone.ts';
import type { MariaDb } from './mariadb.ts';
import { type WsgiService, wsgiService } from './uwsgi.ts';

export interface Neutron extends WsgiService {
  /** neutron.conf, which the driver daemon and the agents read too. */
  readonly configuration: string;
  /** Writes it, and our Python package to where it is found. */
  configure(): void;
  /** Where Python finds our package: for the daemon too, which starts a process that has Neutron loaded. */
  readonly pythonPath: string;
  /** Makes the tables. Needs MariaDB with an empty database `neutron`. */
  migrate(): Promise<void>;
  /** What decides what `migrate` makes, beside Neutron's version. */
  readonly contents: string;
}

export type NeutronOptions = {
  readonly mariadb: MariaDb;
  readonly keystone: Keystone;
  readonly etcdHost: string;
  /** `calico`, or one of Neutron's own that do nothing (`logger`). */
  readonly mechanismDriver: string;
  /** Folder that holds our Python package. */
  readonly driverFolder: string;
};

export function neutronService(processes: Processes, on: Joined, options: NeutronOptions): Neutron {
  const name = 'control/neutron';
  const directory = join(processes.directory, name);
  const file = join(directory, 'neutron.conf');
  const pythonPath = join(directory, 'python');
  const prepare = (): void => {
    mkdirSync(directory, { recursive: true });
    writeFileSync(file, configuration(directory, options));
    registerDriver(pythonPath, options.driverFolder);
  };
  const service = wsgiService(processes, {
    name,
    on,
    port: 9696,
    wsgiFile: '/usr/bin/neutron-api',
    workers: 2,
    env: { OS_NEUTRON_CONFIG_DIR: directory, OS_NEUTRON_CONFIG_FILES: 'neutron.conf', PYTHONPATH: pythonPath },
    prepare,
  });
  return Object.assign(service, {
    configuration: file,
    configure: prepare,
    pythonPath,
    contents: 'heads',
    migrate: async () => {
      prepare();
      await processes.run('neutron-db-manage', ['--config-file', file, 'upgrade', 'heads'], { on, timeoutSeconds: 180 });
    },
  });
}

const configuration = (directory: string, { mariadb, keystone, etcdHost, mechanismDriver }: NeutronOptions): string => `[DEFAULT]
auth_strategy = keystone
core_plugin = ml2
service_plugins = router,qos,revisions
transport_url = fake://
state_path = ${directory}/state
api_paste_config = /etc/neutron/api-paste.ini
dns_domain = lab.example.
allow_overlapping_ips = true
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
use_stderr = true
[database]
connection = ${mariadb.connection('neutron')}
[oslo_concurrency]
lock_path = ${directory}/state/lock
[oslo_policy]
policy_dirs = /etc/neutron/policy.d
[keystone_authtoken]
auth_type = password
auth_url = ${keystone.authUrl}
www_authenticate_uri = ${keystone.authUrl}
username = ${administrator.user}
password = ${administrator.password}
project_name = ${administrator.project}
user_domain_name = ${administrator.domain}
project_domain_name = ${administrator.domain}
region_name = ${administrator.region}
[ml2]
type_drivers = local,flat
tenant_network_types = local
mechanism_drivers = ${mechanismDriver}
extension_drivers = port_security,qos,dns
[ml2_type_flat]
flat_networks = *
[quotas]
default_quota = -1
quota_network = -1
quota_subnet = -1
quota_port = -1
quota_security_group = -1
quota_security_group_rule = -1
[calico]
etcd_host = ${etcdHost}
etcd_port = 2379
neutron_driver_socket = ${directory}/driver.sock
neutron_driver_state_dir = ${directory}/driver-state
`;

/** What pip would leave behind: Neutron finds mechanism drivers by the entry points of what is installed. A copy, so that nobody can change a running lab's driver. */
function registerDriver(pythonPath: string, driverFolder: string): void {
  const about = join(pythonPath, 'calico_openstack-0.1.0.dist-info');
  mkdirSync(about, { recursive: true });
  cpSync(join(driverFolder, 'calico_openstack'), join(pythonPath, 'calico_openstack'), { recursive: true, filter: (path) => !path.includes('__pycache__') });
  writeFileSync(join(about, 'METADATA'), 'Metadata-Version: 2.1\nName: calico-openstack\nVersion: 0.1.0\n');
  writeFileSync(join(about, 'entry_points.txt'), '[neutron.ml2.mechanism_drivers]\ncalico = calico_openstack.driver:CalicoMechanismDriver\n');
}
