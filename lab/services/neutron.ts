import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Reporting } from '../directory.ts';
import { novaLogin } from '../nova/configuration.ts';
import type { Joined } from '../plan.ts';
import type { Processes, Service } from '../process.ts';
import { until } from '../wait.ts';
import { type EtcdAccess, neutronEtcdLines } from './etcd.ts';
import { type Keystone, loginSection } from './keystone.ts';
import { type MariaDb, reaches } from './mariadb.ts';
import { type WsgiApplication, type WsgiService, wsgiService } from './uwsgi.ts';

/** The lab's Neutron. */
export interface Neutron extends WsgiService {
  /** The path of neutron.conf, which the driver's daemon and the agents read too. */
  readonly configuration: string;
  /** Writes neutron.conf, and copies our Python package to `pythonPath`. */
  configure(): Promise<void>;
  /** The UNIX socket on which the driver's daemon listens for Neutron's workers. */
  readonly driverSocket: string;
  /** The folder with our Python package. The daemon needs it too, because it starts a Python process with Neutron loaded. */
  readonly pythonPath: string;
  /** Neutron's servers beside its API: for RPC, and for periodic work where the release has one for it. The lab does not start them. */
  readonly workers: readonly Service[];
  /** Creates the tables. MariaDB must have an empty database `neutron`. */
  migrate(): Promise<void>;
  /** The folder of the virtual environment whose Neutron runs; undefined for Debian's. */
  readonly environment: string | undefined;
  /** Everything except Neutron's version on which the result of `migrate` depends. */
  readonly contents: string;
}

/** What Neutron needs to know of the lab. */
export type NeutronOptions = {
  readonly mariadb: MariaDb;
  readonly keystone: Keystone;
  readonly etcd: EtcdAccess;
  /**
   * The folder of our Python package; or one of installed packages with another driver `calico` among them; or any mechanism driver that is in a folder. When undefined, Neutron runs
   * with its own driver that does nothing.
   */
  readonly driver: { readonly folder: string } | { readonly foreignPackages: string } | MechanismDriver | undefined;
  readonly reporting: Reporting | undefined;
  /** Whether Neutron has `core_plugin = calico`, which makes the other settings of ML2 itself. */
  readonly corePlugin: boolean;
  /** The server's number, because several servers can share the database and etcd. The default is 1. */
  readonly server?: number;
  /** Whether there is a Nova that Neutron notifies of ports. */
  readonly nova: boolean;
  /** The folder of the virtual environment whose Neutron runs; undefined for Debian's. */
  readonly environment: string | undefined;
};

/** A mechanism driver by the name of its entry point, and the folder in which Python finds it. */
export type MechanismDriver = { readonly mechanism: string; readonly packages: string };

/** An installed Neutron. */
type Installation = {
  /** The Python that has it. */
  readonly python: string;
  readonly dbManage: string;
  readonly apiPaste: string;
  /** Neutron's other servers. Since Neutron 23 the periodic work has a server of its own. */
  readonly workers: readonly string[];
  readonly application: WsgiApplication;
};

/** Debian's. The first python3 in the PATH may be another. */
const debian: Installation = {
  python: '/usr/bin/python3',
  dbManage: 'neutron-db-manage',
  apiPaste: '/etc/neutron/api-paste.ini',
  workers: ['/usr/bin/neutron-rpc-server'],
  application: { file: '/usr/bin/neutron-api' },
};

/** One in a virtual environment, as `environmentOf` (neutron-releases.ts) makes it. */
const inEnvironment = (environment: string): Installation => ({
  python: join(environment, 'bin/python'),
  dbManage: join(environment, 'bin/neutron-db-manage'),
  apiPaste: join(environment, 'etc/neutron/api-paste.ini'),
  workers: ['neutron-rpc-server', 'neutron-periodic-workers'].map((name) => join(environment, 'bin', name)),
  application: { module: 'neutron.wsgi.api:application', environment },
});

const installationOf = ({ environment }: Pick<NeutronOptions, 'environment'>): Installation =>
  environment === undefined ? debian : inEnvironment(environment);

/** Describes Neutron's API on the control machine. */
export function neutronService(processes: Processes, on: Joined, options: NeutronOptions): Neutron {
  const { server = 1 } = options;
  const installation = installationOf(options);
  const name = `control/neutron${ending(server)}`;
  const directory = join(processes.directory, name);
  const file = join(directory, 'neutron.conf');
  const { driver } = options;
  const pythonPath = pythonPathOf(driver) ?? join(directory, 'python');
  const prepare = async (): Promise<void> => {
    mkdirSync(directory, { recursive: true });
    writeFileSync(file, configuration(directory, options));
    writeFileSync(join(directory, 'policy.yaml'), policy);
    // The package is copied, so that a change of the source does not change a running lab.
    if (driver !== undefined && 'folder' in driver) await processes.run(installation.python, [join(driver.folder, 'make_site.py'), pythonPath]);
  };
  const service = wsgiService(processes, {
    name,
    on,
    port: 9695 + server,
    application:
      driver !== undefined && 'foreignPackages' in driver
        ? { serving: [installation.python, join(import.meta.dirname, 'neutron_server.py')] }
        : installation.application,
    workers: 2,
    env: { OS_NEUTRON_CONFIG_DIR: directory, OS_NEUTRON_CONFIG_FILES: 'neutron.conf', PYTHONPATH: pythonPath },
    prepare,
  });
  return Object.assign(service, {
    configuration: file,
    configure: prepare,
    pythonPath,
    driverSocket: join(directory, 'driver.sock'),
    environment: options.environment,
    workers: installation.workers.map((command) =>
      processes.service({ name: `${name}/${basename(command)}`, on, command, args: ['--config-file', file], env: { PYTHONPATH: pythonPath } }),
    ),
    contents: JSON.stringify(['heads', options.environment ?? '']),
    migrate: async () => {
      await prepare();
      // More than a hundred migrations: minutes on a busy machine.
      await processes.run(installation.dbManage, ['--config-file', file, 'upgrade', 'heads'], { on, timeoutMs: 900_000 });
    },
  });
}

/** The folder of a driver that is not ours. */
function pythonPathOf(driver: NeutronOptions['driver']): string | undefined {
  if (driver === undefined || 'folder' in driver) return undefined;
  return 'foreignPackages' in driver ? driver.foreignPackages : driver.packages;
}

/** The mechanism driver that neutron.conf names. */
function mechanismOf({ driver, corePlugin }: Pick<NeutronOptions, 'driver' | 'corePlugin'>): string {
  if (driver !== undefined && 'mechanism' in driver) return driver.mechanism;
  return driver === undefined || corePlugin ? 'logger' : 'calico';
}

/** The suffix of the names of a server's services. */
const ending = (server: number): string => (server === 1 ? '' : `-${server}`);

/** The rules of Neutron's policy for Nova's requests. Newer releases allow them to the role `service` alone, which the lab's administrator does not have. */
const novas = ['create_port:binding:profile', 'update_port:binding:profile', 'create_port_binding', 'delete_port_binding', 'activate'];
const policy = novas.map((name) => `"${name}": "rule:admin_only"\n`).join('');

/** Upstream's core plugin is its router plugin, too. */
function plugins({ driver, corePlugin }: Pick<NeutronOptions, 'driver' | 'corePlugin'>): string {
  if (corePlugin) return 'core_plugin = calico\nservice_plugins = revisions,trunk,port_forwarding\n';
  return driver !== undefined && 'foreignPackages' in driver
    ? 'core_plugin = calico\nservice_plugins = qos,revisions\n'
    : 'core_plugin = ml2\nservice_plugins = router,qos,revisions\n';
}

function configuration(directory: string, options: NeutronOptions): string {
  const { mariadb, keystone, etcd, driver, reporting, corePlugin, nova, server = 1 } = options;
  const { python, apiPaste } = installationOf(options);
  return `[DEFAULT]
auth_strategy = keystone
${plugins({ driver, corePlugin })}transport_url = fake://
state_path = ${directory}/state
api_paste_config = ${apiPaste}
dns_domain = lab.example.
allow_overlapping_ips = true
dhcp_agent_notification = false
notify_nova_on_port_status_changes = ${nova}
notify_nova_on_port_data_changes = ${nova}
use_stderr = true
${reporting === undefined ? '' : `agent_down_time = ${reporting.agentDownSeconds}\n`}[database]
connection = ${mariadb.connection('neutron')}
[oslo_concurrency]
lock_path = ${directory}/state/lock
[oslo_policy]
policy_file = ${directory}/policy.yaml
policy_dirs = /etc/neutron/policy.d
${loginSection('keystone_authtoken', keystone.authUrl)}${nova ? novaLogin(keystone.authUrl) : ''}[ml2]
type_drivers = local,flat
tenant_network_types = local
mechanism_drivers = ${mechanismOf({ driver, corePlugin })}
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
${neutronEtcdLines(etcd, 'calico-neutron-driver')}neutron_driver_socket = ${directory}/driver.sock
neutron_driver_state_dir = ${directory}/driver-state
outage_patience_secs = 0.3
${server === 1 ? '' : 'startup_resync = never\n'}neutron_rows_command = ${python} -m calico_openstack.rows_process
${reporting === undefined ? '' : `agent_report_interval_secs = ${reporting.intervalSeconds}\n`}`;
}

/** Describes the daemon of our driver, which the workers of this Neutron call. */
export function driverService(processes: Processes, on: Joined, neutron: Neutron, executable: string, server = 1): Service {
  return processes.service({
    name: `control/neutron-driver${ending(server)}`,
    on,
    command: executable,
    args: ['--config-file', neutron.configuration],
    env: { PYTHONPATH: neutron.pythonPath }, // the daemon starts a Python process with Neutron loaded
    prepare: async () => {
      rmSync(neutron.driverSocket, { force: true });
      await neutron.configure();
    },
    ready: async (hopeful) => {
      await until('its socket', () => reaches(neutron.driverSocket), { hopeful });
    },
  });
}
