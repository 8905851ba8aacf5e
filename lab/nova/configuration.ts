// Prints the configuration files of Nova, Placement, Glance and libvirt in a lab. Pure.
import type { Joined } from '../plan.ts';
import { loginSection } from '../services/keystone.ts';

/** The addresses of the control machine's services. */
export type ControlAddresses = { readonly authUrl: string; readonly address: string };

/** The message broker of Nova's services. */
const rabbitUrl = (address: string): string => `rabbit://guest:guest@${address}:5672/`;

/** The section of neutron.conf by which Neutron notifies Nova of changes of ports. */
export const novaLogin = (authUrl: string): string => loginSection('nova', authUrl, 'endpoint_type = public\n');

/** The settings that all of Nova's services share. `state` is a folder of their own. */
const novaCommon = ({ authUrl, address }: ControlAddresses, host: string, ownAddress: string, state: string): string => `[DEFAULT]
host = ${host}
my_ip = ${ownAddress}
state_path = ${state}
transport_url = ${rabbitUrl(address)}
rpc_response_timeout = 120
compute_driver = libvirt.LibvirtDriver
use_stderr = true
vif_plugging_is_fatal = true
vif_plugging_timeout = 120
reserved_host_memory_mb = 0
# Otherwise Nova makes qcow2 of a raw disk when it resizes or migrates cold, goes on calling it raw, and refuses the snapshot of it when it unshelves.
use_cow_images = false
cpu_allocation_ratio = 16
ram_allocation_ratio = 4
# The guest has no ACPI daemon that would end it.
shutdown_timeout = 1
[api]
auth_strategy = keystone
${loginSection('keystone_authtoken', authUrl)}${loginSection('placement', authUrl)}${loginSection('neutron', authUrl, 'service_metadata_proxy = false\nmetadata_proxy_shared_secret = lab\n')}[glance]
api_servers = http://${address}:9292
[conductor]
workers = 1
[scheduler]
workers = 1
[oslo_concurrency]
lock_path = ${state}/lock
[vnc]
enabled = false
[spice]
enabled = false
`;

/** nova.conf of the control machine. `connection` returns a database's URL. */
export const novaControl = (control: ControlAddresses, state: string, connection: (database: string) => string): string =>
  `${novaCommon(control, 'control', control.address, state)}[api_database]
connection = ${connection('nova_api')}
[database]
connection = ${connection('nova')}
`;

/** nova.conf of a compute host. It has no database, because nova-compute logs a warning about one. `file` is its own path, which nova-compute's privileged helper process gets. */
export const novaCompute = (control: ControlAddresses, host: Joined, file: string): string =>
  `${novaCommon(control, host.name, host.link.machine4, '/var/lib/nova')}[nova_sys_admin]
helper_command = privsep-helper --config-file ${file}
[libvirt]
virt_type = qemu
cpu_mode = none
num_pcie_ports = 0
live_migration_scheme = tcp
live_migration_inbound_addr = ${host.link.machine4}
mem_stats_period_seconds = 0
images_type = raw
[workarounds]
# A live migration copies the guest's kernel again, which the inspection takes for a disk of a wrong format.
disable_deep_image_inspection = true
`;

/** placement.conf. */
export const placement = (authUrl: string, connection: string): string => `[DEFAULT]
use_stderr = true
[api]
auth_strategy = keystone
[placement_database]
connection = ${connection}
${loginSection('keystone_authtoken', authUrl)}`;

/** glance-api.conf. Images are files below `directory`. */
export const glance = (authUrl: string, connection: string, directory: string): string => `[DEFAULT]
use_stderr = true
enabled_backends = files:file
[glance_store]
default_backend = files
[files]
filesystem_store_datadir = ${directory}/images
[os_glance_staging_store]
filesystem_store_datadir = ${directory}/staging
[os_glance_tasks_store]
filesystem_store_datadir = ${directory}/tasks
[database]
connection = ${connection}
${loginSection('keystone_authtoken', authUrl)}[paste_deploy]
flavor = keystone
config_file = /etc/glance/glance-api-paste.ini
[oslo_policy]
policy_dirs = /etc/glance/policy.d
`;

/** rabbitmq.conf. */
export const rabbit = (address: string): string => `listeners.tcp.1 = ${address}:5672\nloopback_users = none\n`;

/** libvirtd.conf. libvirt refuses to migrate between two hosts with one UUID. */
export const libvirtd = ({ number, link }: Joined): string => `listen_tls = 0
listen_tcp = 1
listen_addr = "${link.machine4}"
auth_tcp = "none"
auth_unix_rw = "none"
unix_sock_group = "root"
host_uuid = "00000000-1111-4222-8333-${String(number).padStart(12, '4')}"
log_outputs = "2:stderr"
`;

/** qemu.conf. Cgroups are switched off, because two domains of one name on two hosts would share a cgroup. */
export const qemu = ({ link }: Joined): string => `user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
remember_owner = 0
stdio_handler = "file"
migration_address = "${link.machine4}"
migration_host = "${link.machine4}"
`;

/** /etc/hosts, the same on all hosts. */
export const hostsFile = (control: Joined, hosts: readonly Joined[]): string =>
  ['127.0.0.1 localhost', ...[control, ...hosts].map(({ name, link }) => `${link.machine4} ${name}`), ''].join('\n');
