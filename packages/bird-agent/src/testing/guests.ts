// Guests behind a real Felix, in network namespaces, for tests of workloads that speak BGP.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createWriteStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { felixRights, resourceKey, resourceRoot, tapName, workloadEndpointName } from '@calico-openstack/datamodel';
import { type TestHost, until, type World } from './world.ts';

const run = promisify(execFile);

export type Felix = { kill(): Promise<void>; start(): void; log(): string };

/**
 * Starts Felix in the host's namespace, with the least rights.
 * @param closing the functions to call at the end of the test; Felix's is added
 * @param options variables of its environment
 */
export async function startFelix(world: World, host: TestHost, closing: (() => unknown)[], options: Readonly<Record<string, string>> = {}): Promise<Felix> {
  await world.etcdProcess.addUser(`felix-${host.name}`, 'felix', felixRights(undefined, host.name));
  await world.etcdProcess.etcdctl(
    'put',
    `${resourceRoot}clusterinformations/default`,
    JSON.stringify({ metadata: { name: 'default' }, spec: { datastoreReady: true } }),
  );
  const logFile = join(world.directory, `${host.name}.felix.log`);
  let child: ChildProcess | undefined;
  let ended: Promise<unknown> = Promise.resolve();
  const kill = async (): Promise<void> => {
    child?.kill('SIGKILL');
    await ended;
  };
  closing.push(kill);
  const start = (): void => {
    const program = join(import.meta.dirname, '../../../felix/src/bin/calico-felix.ts');
    child = spawn('setpriv', ['--pdeathsig', 'KILL', 'ip', 'netns', 'exec', host.namespace, process.execPath, program], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        FELIX_ETCDENDPOINTS: world.etcdProcess.endpoint,
        FELIX_ETCDUSERNAME: `felix-${host.name}`,
        FELIX_ETCDPASSWORD: 'felix',
        FELIX_FELIXHOSTNAME: host.name,
        FELIX_INTERFACEPREFIX: 'tap',
        FELIX_LOGFILEPATH: 'none',
        FELIX_LOGSEVERITYSCREEN: 'INFO',
        FELIX_METADATAADDR: 'none',
        FELIX_NFTABLESTABLEOWNERSHIP: 'Shared',
        FELIX_BIRDCONFIGFILE: host.bird.configFile,
        ...options,
      },
    });
    const log = createWriteStream(logFile, { flags: 'a' });
    for (const stream of [child.stdout, child.stderr]) stream?.pipe(log, { end: false });
    ended = new Promise((resolve) => child?.once('exit', resolve));
  };
  start();
  return { kill, start, log: () => readFileSync(logFile, 'utf8') };
}

export type Guest = {
  readonly namespace: string;
  readonly tap: string;
  readonly portId: string;
  readonly address4: string;
  readonly address6: string;
  ip(...args: readonly string[]): Promise<string>;
  /** Writes the guest's endpoint as the driver does. */
  put(labels: object, spec?: object, annotations?: object): Promise<unknown>;
  remove(): Promise<unknown>;
  /** Whether the guest can open a TCP connection. */
  connects(address: string, port: number): Promise<boolean>;
};

/** Creates guest number 1, 2 … of the host: its namespace, tap and addresses. The test writes its endpoint to etcd. */
export async function plugGuest(world: World, host: TestHost, number: number, closing: (() => unknown)[]): Promise<Guest> {
  const namespace = `${host.namespace}g${number}`;
  const portId = `${number}${number}${number}0aaaa-0000-4000-8000-00000000000${number}`;
  const tap = tapName(portId);
  const [address4, address6] = [`10.65.0.${100 + number}`, `2001:db8:a::${100 + number}`];
  const mac = `fa:16:3e:00:00:0${number}`;
  const ip = async (...args: readonly string[]): Promise<string> => (await run('ip', ['-n', namespace, ...args])).stdout;
  await run('ip', ['netns', 'add', namespace]);
  closing.push(() => run('ip', ['netns', 'del', namespace]));
  await run('ip', ['netns', 'exec', namespace, 'sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0', 'net.ipv4.ip_forward=1']);
  await host.ip('link', 'add', tap, 'type', 'veth', 'peer', 'name', 'eth0', 'address', mac, 'netns', namespace);
  await host.ip('link', 'set', tap, 'up');
  for (const command of [
    'link set lo up',
    'link set eth0 up',
    `addr add ${address4}/32 dev eth0`,
    `-6 addr add ${address6}/128 dev eth0 nodad`,
    'route add 169.254.1.1 dev eth0 scope link',
    `route add default via 169.254.1.1 src ${address4}`,
  ])
    await ip(...command.split(' '));
  const gateway6 = await until(
    `a link-local address of ${tap}`,
    async () => /inet6 (fe80:[0-9a-f:]+)\//.exec(await host.ip('-6', 'addr', 'show', 'dev', tap))?.[1],
  );
  await ip('-6', 'route', 'add', 'default', 'via', gateway6, 'dev', 'eth0', 'src', address6);
  const key = resourceKey({
    plural: 'workloadendpoints',
    namespace: 'openstack',
    name: workloadEndpointName({ host: host.name, orchestrator: 'openstack', workload: `vm${number}`, endpoint: portId }),
  });
  return {
    namespace,
    tap,
    portId,
    address4,
    address6,
    ip,
    put: (labels, spec = {}, annotations = {}) =>
      world.etcdProcess.etcdctl(
        'put',
        key,
        JSON.stringify({
          metadata: { labels: { 'projectcalico.org/namespace': 'openstack', ...labels }, annotations },
          spec: { interfaceName: tap, mac, ipNetworks: [`${address4}/32`, `${address6}/128`], ...spec },
        }),
      ),
    remove: () => world.etcdProcess.etcdctl('del', key),
    connects: (address, port) =>
      run('ip', ['netns', 'exec', namespace, 'timeout', '2', 'bash', '-c', `exec 3<>/dev/tcp/${address}/${port}`]).then(
        () => true,
        () => false,
      ),
  };
}
