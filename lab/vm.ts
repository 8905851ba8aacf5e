// Plays Nova and the guest: a port from Neutron, a tap on the host, and behind it a network namespace in which real DHCP clients run.
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { release, type } from 'node:os';
import { join } from 'node:path';
import { familyOf } from '@calico-openstack/addresses';
import { LabError } from './errors.ts';
import type { Lab } from './lab.ts';
import { type Lease, parseLease } from './lease.ts';
import { addNamespace, ip, ipJson } from './namespace.ts';
import type { Fields, Port } from './openstack.ts';
import { type Host, type Machine, vmMachine } from './plan.ts';
import type { Processes, Service } from './process.ts';
import { patienceMs } from './wait.ts';

/** The name of a guest's interface. */
export const guestInterface = 'eth0';
const guestScripts = join(import.meta.dirname, 'guest');

/** The wanted properties of a VM. */
export type VmOptions = {
  /** Unique in the lab. */
  readonly name: string;
  readonly host: Host;
  readonly network: string;
  /** Ids of security groups. Left out: the project's default group; empty: none. */
  readonly securityGroups?: readonly string[];
  /** Further fields of the port, with the API's names. */
  readonly port?: Fields;
};

/** The facts of a VM. Its folder holds them as vm.json while it is plugged in. */
export type VmFacts = {
  readonly name: string;
  readonly host: string;
  readonly tap: string;
  readonly portId: string;
  readonly deviceId: string;
  readonly mac: string;
  /** Whether the guest is a network namespace or an emulated machine with a kernel of its own. */
  readonly kind: 'namespace' | 'machine';
  readonly mtuBytes: number;
  readonly addresses: readonly string[];
};

/** A VM. */
export interface Vm extends Machine {
  readonly facts: VmFacts;
  readonly host: Host;
  readonly address4: string | undefined;
  readonly address6: string | undefined;
  /** Creates the tap on the host and the guest behind it, with the link up. */
  plug(): Promise<void>;
  /** Starts a DHCP client for each family of the port's addresses. */
  startDhcp(): Promise<void>;
  /** Waits for the lease of this family. */
  lease(family: 4 | 6, timeoutMs?: number): Promise<Lease>;
  /** Waits for a lease and a default route, which is needed to reach anything beyond the subnet. In IPv6 the route comes with a router advertisement, some time later. */
  online(family: 4 | 6, timeoutMs?: number): Promise<void>;
  /** The version of the guest's kernel; a namespace has this machine's. */
  kernel(): Promise<string>;
  /** Kills the DHCP clients and deletes the tap and the guest. */
  unplug(): Promise<void>;
  /** Unplugs the VM and deletes its port. */
  remove(): Promise<void>;
}

/** A VM whose guest is a namespace: tests can look around in it and send anything from it. */
export interface NamespaceVm extends Vm {
  /** Makes the DHCPv4 client renew its lease, and waits for the answer. */
  renew(timeoutMs?: number): Promise<Lease>;
}

/** Creates the port of a VM whose guest is a namespace. Nothing is plugged in yet. API_REFUSED when Neutron refuses. */
export const createVm = async (lab: Lab, options: VmOptions): Promise<NamespaceVm> => vmOf(lab, options.host, await requestPort(lab, options, 'namespace'));

/** A new port. `hostMac`: the MAC of the host's end of the tap. */
export type RequestedPort = { readonly facts: VmFacts; readonly hostMac: string };

/** Creates the port of a VM on this host in Neutron, as Nova does. API_REFUSED when Neutron refuses it or cannot bind it to the host. */
export async function requestPort(
  lab: Lab,
  { name, host, network, securityGroups, port: more = {} }: VmOptions,
  kind: VmFacts['kind'],
): Promise<RequestedPort> {
  vmMachine(lab.plan.prefix, name); // refuses a bad name before a port is created
  const fields = { network_id: network, name, device_owner: 'compute:nova', device_id: randomUUID(), 'binding:host_id': host.name };
  const [port, { mtu }] = await Promise.all([
    lab.openstack.create('port', { ...fields, ...(securityGroups === undefined ? {} : { security_groups: securityGroups }), ...more }),
    lab.openstack.get('network', network),
  ]);
  if (!lab.without.has('neutron-driver') && port['binding:vif_type'] === 'binding_failed') {
    await lab.openstack.remove('port', port.id);
    throw new LabError(
      'API_REFUSED',
      `Neutron could not bind the port of ${name} to ${host.name}: does it take the host's Felix for dead (openstack network agent list)?`,
    );
  }
  return { facts: factsOf(name, host, kind, port, mtu), hostMac: hostSideMac(port) };
}

/** Creates a VM, plugs it in and starts its DHCP clients, like `openstack server create`. Does not wait for the lease. */
export async function bootVm(lab: Lab, options: VmOptions): Promise<NamespaceVm> {
  const vm = await createVm(lab, options);
  await powerOn(vm);
  return vm;
}

/** Plugs the VM in and starts its DHCP clients. */
export async function powerOn(vm: Vm): Promise<void> {
  await vm.plug();
  await vm.startDhcp();
}

/** Writes the VM's folder, which makes it one of those that are plugged in. Unplugging removes the folder. */
export function recordVm(lab: Lab, facts: VmFacts): void {
  const directory = join(lab.directory, vmMachine(lab.plan.prefix, facts.name).name);
  mkdirSync(directory);
  writeFileSync(join(directory, 'vm.json'), JSON.stringify(facts));
}

/** The VMs that are plugged in now. */
export const plugged = (lab: Lab): VmFacts[] =>
  readdirSync(lab.directory)
    .map((folder) => join(lab.directory, folder, 'vm.json'))
    .filter((file) => existsSync(file))
    .map((file) => JSON.parse(readFileSync(file, 'utf8')) as VmFacts);

/** The first address of each family. */
export const addressesOf = ({ addresses }: VmFacts): Pick<Vm, 'address4' | 'address6'> => ({
  address4: addresses.find((address) => familyOf(address) === 4),
  address6: addresses.find((address) => familyOf(address) === 6),
});

const factsOf = (name: string, host: Host, kind: VmFacts['kind'], port: Port, mtuBytes: number): VmFacts => ({
  name,
  kind,
  host: host.name,
  tap: `tap${port.id.slice(0, 11)}`,
  portId: port.id,
  deviceId: port.device_id,
  mac: port.mac_address,
  mtuBytes,
  addresses: port.fixed_ips.map((fixed) => fixed.ip_address),
});

function vmOf(lab: Lab, host: Host, { facts, hostMac }: RequestedPort): NamespaceVm {
  const { processes } = lab;
  const machine = vmMachine(lab.plan.prefix, facts.name);
  const directory = join(lab.directory, machine.name);
  const { address4, address6 } = addressesOf(facts);
  const clients = [
    ...(address4 === undefined ? [] : [udhcpc(processes, machine, directory)]),
    ...(address6 === undefined ? [] : [dhclient6(processes, machine, directory)]),
  ];

  async function unplug(): Promise<void> {
    for (const client of clients) client.kill('SIGKILL'); // as when a VM is destroyed: the lease is not released
    await Promise.all(clients.map((client) => client.ended()));
    await ip(processes, host, [`link delete ${facts.tap}`]);
    await processes.run('ip', ['netns', 'delete', machine.namespace]);
    await rm(directory, { recursive: true, maxRetries: 10 }); // a client's script, which outlives it for a moment, may still write there
  }

  const lease = (family: 4 | 6, timeoutMs = patienceMs): Promise<Lease> =>
    processes.until(
      `an IPv${family} lease of ${facts.name} (${facts.addresses.join(', ')})`,
      () => {
        const file = join(directory, `lease${family}`);
        const given = existsSync(file) ? parseLease(readFileSync(file, 'utf8')) : undefined;
        return given !== undefined && given.address !== '' ? given : undefined;
      },
      { timeoutMs, intervalMs: 10 },
    );

  return {
    ...machine,
    facts,
    host,
    address4,
    address6,
    async plug() {
      recordVm(lab, facts);
      await addNamespace(processes, machine);
      await ip(processes, host, [
        `link add ${facts.tap} mtu ${facts.mtuBytes} address ${hostMac} type veth peer name ${guestInterface} netns ${machine.namespace} address ${facts.mac} mtu ${facts.mtuBytes}`,
        `link set ${facts.tap} up`,
      ]);
      await ip(processes, machine, ['link set lo up', `link set ${guestInterface} up`]);
    },
    async startDhcp() {
      await Promise.all(clients.map((client) => client.start()));
    },
    lease,
    async renew(timeoutMs = patienceMs) {
      const file = join(directory, 'lease4');
      const writtenMs = (): number => statSync(file).mtimeMs;
      const before = writtenMs();
      for (const client of clients) if (client.name.endsWith('/udhcpc')) client.kill('SIGUSR1');
      await processes.until(`an answer to ${facts.name}, which renews its lease`, () => writtenMs() !== before || undefined, {
        timeoutMs,
        intervalMs: 10,
      });
      return await lease(4);
    },
    async online(family, timeoutMs = patienceMs) {
      await lease(family, timeoutMs);
      const routes = (): Promise<unknown> => ipJson(processes, machine, `-${family}`, 'route', 'show', 'default');
      await processes.until(`an IPv${family} default route of ${facts.name}`, async () => ((await routes()) as unknown[]).length > 0 || undefined, {
        timeoutMs,
      });
    },
    kernel: async () => `${type()} ${release()}`,
    unplug,
    async remove() {
      if (existsSync(directory)) await unplug();
      await lab.openstack.remove('port', facts.portId);
    },
  };
}

/**
 * The MAC that Nova gives to the host's end of a tap: the one in the port's binding details. A port that our driver has not bound has no such detail; then Nova replaces the first octet of the port's MAC by 0xfe.
 */
function hostSideMac(port: Port): string {
  const details = port['binding:vif_details'];
  if (port['binding:vif_type'] === 'tap' && details.mac_address === undefined) {
    throw new LabError('API_REFUSED', `port ${port.id} is bound as a tap without the host's MAC address: its vif_details are ${JSON.stringify(details)}`);
  }
  return details.mac_address ?? `fe${port.mac_address.slice(2)}`;
}

/** Runs udhcpc as a service: it sends a message each second until it is answered, keeps running and renews its lease. */
const udhcpc = (processes: Processes, on: Machine, directory: string): Service =>
  processes.service({
    name: `${on.name}/udhcpc`,
    on,
    command: 'busybox',
    args: [
      ...['udhcpc', '-f', '-i', guestInterface, '-s', join(guestScripts, 'udhcpc'), '-x', `hostname:${on.name}`],
      ...['-t', '5', '-T', '1', '-A', '1', ...['mtu', 'staticroutes', 'domain', 'search', 'hostname'].flatMap((option) => ['-O', option])],
    ],
    env: { VM_DIRECTORY: directory },
  });

const dhclient6 = (processes: Processes, on: Machine, directory: string): Service =>
  processes.service({
    name: `${on.name}/dhclient6`,
    on,
    command: join(guestScripts, 'start-dhclient6'),
    args: [
      ...[guestInterface, '-d', '-sf', join(guestScripts, 'dhclient6'), '-e', `VM_DIRECTORY=${directory}`],
      ...['-cf', '/dev/null', '-lf', join(directory, 'dhclient6.leases'), '-pf', join(directory, 'dhclient6.pid')],
    ],
  });
