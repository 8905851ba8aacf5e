// A VM that migrates between the hosts of a world, in the steps of Nova, libvirt and QEMU, whose order was recorded with the real programs. The VM is a network namespace with a port for
// each host, of which one at a time is in its bridge. A port that is down stands for a tap without QEMU. A port that is up and not in the bridge stands for a tap whose QEMU has not
// started the guest yet.
import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { endpointStatusKey, resourceKey, tapName, workloadEndpointName } from '@calico-openstack/datamodel';
import { connectEtcd, type Etcd } from '@calico-openstack/etcd';
import { openLinks } from '@calico-openstack/kernel/links/netlink';
import { inNamespace } from '@calico-openstack/kernel/netlink/namespace';
import { advertisementFrame, gratuitousArpFrame, rarpFrame } from '@calico-openstack/kernel/testing/announcements';
import { relayInto } from '@calico-openstack/kernel/testing/relay';
import { openWire } from '@calico-openstack/kernel/testing/wire';
import { type TestHost, until, type World } from './world.ts';

const run = promisify(execFile);

/** A VM and the steps of its migration. */
export type MovingGuest = {
  readonly namespace: string;
  readonly tap: string;
  readonly address4: string;
  readonly address6: string;
  /** Makes the tap on a host, with the VM running, and writes the endpoint. */
  boot(host: TestHost): Promise<void>;
  /** Nova makes the tap on the target, Neutron writes LiveMigration and the target's endpoint, and QEMU opens the tap. */
  prepare(source: TestHost, target: TestHost): Promise<void>;
  /** Resolves when the target's Felix has reported the endpoint; from then on it listens for the VM. */
  awaited(target: TestHost): Promise<unknown>;
  /** The VM stops on the source and runs on the target. It loses no time itself. */
  run(target: TestHost): Promise<void>;
  /** QEMU and the guest announce on the target that it runs there. */
  announce(target: TestHost): void;
  /** QEMU ends on the source; the tap stays. */
  end(source: TestHost): Promise<void>;
  /** Neutron activates the port on the target, which ends the migration. */
  activate(source: TestHost, target: TestHost): Promise<void>;
  /** Nova aborts the migration before the VM has moved. */
  abort(source: TestHost, target: TestHost): Promise<void>;
  /** The tap is deleted. */
  unplug(host: TestHost): Promise<void>;
};

const mac = 'fa:16:3e:00:00:77';
const portId = '7770aaaa-0000-4000-8000-000000000007';
const device = 'moving';

/** Creates the VM's namespace. @param closing the functions to call at the end of the test; those of the VM are added */
export async function createMovingGuest(world: World, closing: (() => unknown)[]): Promise<MovingGuest> {
  const namespace = `${world.router.namespace}g`;
  const tap = tapName(portId);
  const [address4, address6] = ['10.65.0.77', '2001:db8:a::77'];
  const etcd = await connectTo(world, closing);
  await run('ip', ['netns', 'add', namespace]);
  closing.push(() => run('ip', ['netns', 'del', namespace]));
  const ipBatch = (...lines: readonly string[]): Promise<void> => batch(namespace, lines);
  await run('ip', ['netns', 'exec', namespace, 'sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0', 'net.ipv6.conf.all.accept_ra=0']);
  await ipBatch(
    'link set lo up',
    `link add eth0 address ${mac} type bridge stp_state 0 mcast_snooping 0`,
    'link set eth0 up',
    `addr add ${address4}/32 dev eth0`,
    `addr add ${address6}/128 dev eth0 nodad`,
    'route add 169.254.1.1 dev eth0 scope link',
    `route add default via 169.254.1.1 src ${address4}`,
    // Nova gives the taps of both hosts the same MAC, and so the same link-local address.
    `route add default via fe80::fc16:3eff:fe00:77 dev eth0 src ${address6}`,
  );
  const wire = openWire(namespace);
  closing.push(() => wire.close());
  const links = inNamespace(namespace, () => openLinks());
  closing.push(() => links.close());
  const portTo = (host: TestHost): string => `to-${host.name}`;

  const plug = async (host: TestHost): Promise<void> => {
    const port = portTo(host);
    await host.ip('link', 'add', 'name', tap, 'address', `fe${mac.slice(2)}`, 'type', 'veth', 'peer', 'name', port, 'netns', namespace);
    await ipBatch(`link set ${port} addrgenmode none`); // the port itself sends nothing
    await host.ip('link', 'set', tap, 'up');
  };
  const open = async (host: TestHost): Promise<void> => {
    await ipBatch(`link set ${portTo(host)} up`);
    await until(`the carrier of ${portTo(host)}`, () => links.link(portTo(host))?.running || undefined);
  };
  const place = ({ name: host }: TestHost) => ({ host, orchestrator: 'openstack', workload: device, endpoint: portId });
  const end = ({ name: hostname }: TestHost) => ({
    workloadEndpoint: { hostname, orchestratorID: 'openstack', workloadID: `openstack/${device}`, endpointID: portId },
  });
  const endpointKey = (host: TestHost): string => resourceKey({ plural: 'workloadendpoints', namespace: 'openstack', name: workloadEndpointName(place(host)) });
  const migrationKey = (target: TestHost): string =>
    resourceKey({ plural: 'livemigrations', namespace: 'openstack', name: workloadEndpointName(place(target)) });
  const endpoint = JSON.stringify({
    metadata: { labels: { 'projectcalico.org/namespace': 'openstack' } },
    spec: { interfaceName: tap, mac, ipNetworks: [`${address4}/32`, `${address6}/128`] },
  });

  const reportOf = async (host: TestHost): Promise<string | undefined> => {
    const { found } = await etcd.get(endpointStatusKey(undefined, { ...place(host), workload: `openstack/${device}` }));
    return found && Buffer.from(found.value).toString();
  };

  return {
    namespace,
    tap,
    address4,
    address6,
    async boot(host) {
      await plug(host);
      await etcd.transact([], [{ put: endpointKey(host), value: endpoint }]);
      await open(host);
      await ipBatch(`link set ${portTo(host)} master eth0`);
    },
    async prepare(source, target) {
      await until(`no report of an earlier time by ${target.name}`, async () => (await reportOf(target)) === undefined || undefined);
      await plug(target);
      const migration = JSON.stringify({ spec: { source: end(source), target: end(target) } });
      await etcd.transact(
        [],
        [
          { put: migrationKey(target), value: migration },
          { put: endpointKey(target), value: endpoint },
        ],
      );
      await open(target);
    },
    awaited: (target) => until(`a report of ${target.name}`, async () => (await reportOf(target))?.includes('"up"') || undefined),
    async run(target) {
      const others = [...links.links.keys()].filter((name) => name.startsWith('to-') && name !== portTo(target));
      await ipBatch(`link set ${portTo(target)} master eth0`, ...others.map((port) => `link set ${port} nomaster`));
    },
    announce(target) {
      const { index } = links.link(portTo(target))!;
      for (const make of [rarpFrame, gratuitousArpFrame, advertisementFrame]) wire.send(index, make({ mac, address4, address6 }));
    },
    end: (source) => ipBatch(`link set ${portTo(source)} down`),
    async activate(source, target) {
      await etcd.transact([], [{ delete: endpointKey(source) }, { delete: migrationKey(target) }]);
    },
    async abort(_, target) {
      await etcd.transact([], [{ delete: endpointKey(target) }, { delete: migrationKey(target) }]);
    },
    async unplug(host) {
      await host.ip('link', 'del', tap);
      await until('the tap’s other end to go', () => !links.link(portTo(host)) || undefined);
    },
  };
}

/** A client of the world's etcd with all rights. */
async function connectTo(world: World, closing: (() => unknown)[]): Promise<Etcd> {
  const { hostname, port } = new URL(world.etcdProcess.endpoint);
  const relay = await relayInto(world.router.namespace, Number(port), hostname);
  const etcd = connectEtcd({ endpoints: [`http://127.0.0.1:${relay.port}`], username: 'root', password: 'root' });
  closing.push(
    () => relay.close(),
    () => etcd.close(),
  );
  return etcd;
}

/** Runs commands of iproute2 in one process. */
function batch(namespace: string, lines: readonly string[]): Promise<void> {
  const child = spawn('ip', ['-n', namespace, '-batch', '-'], { stdio: ['pipe', 'ignore', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (bytes: Buffer) => {
    complaint += bytes.toString();
  });
  child.stdin.end(`${lines.join('\n')}\n`);
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${lines.join('; ')}: ${complaint}`))));
  });
}
