// A small world for system tests: a router and hosts as network namespaces on routed links, a real etcd beside the router, real BIRDs, and the agent as a process of its own.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { birdAgentRights, resourceKey, resourcePrefix, workloadEndpointName } from '@calico-openstack/datamodel';
import { type EtcdProcess, startEtcd } from '@calico-openstack/etcd/testing/etcd-process';
import { steadyMoments } from '../../../../lab/moments.ts';
import { type BirdControl, connectBird } from '../bird/control.ts';
import { type ProtocolStatus, protocols } from '../bird/daemon.ts';

const run = promisify(execFile);

export const routerAs = 64500;
const etcdPassword = 'agent';

/** The link between the router and host number 0, 1, 2 … */
const link = (number: number) => ({
  host4: `192.0.2.${number * 4 + 1}`,
  router4: `192.0.2.${number * 4 + 2}`,
  host6: `2001:db8:f:${number + 1}::5`,
  router6: `2001:db8:f:${number + 1}::6`,
});

/** Repeats `ask` until it returns something, or fails with its last error. By default that may take long, because the machine that runs the test may be very busy. */
export async function until<T>(what: string, ask: () => Promise<T | undefined> | T | undefined, seconds = 120): Promise<T> {
  const deadlineMs = performance.now() + seconds * 1000;
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadlineMs) throw new Error(`gave up waiting for ${what} after ${seconds} s`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export type Bird = {
  readonly configFile: string;
  readonly socket: string;
  sessions(): Promise<readonly ProtocolStatus[]>;
  session(symbol: string): Promise<ProtocolStatus | undefined>;
  /** How often BIRD has been reconfigured, by its log. */
  reconfigurations(): number;
  ask(command: string): Promise<string>;
  pid(): number;
  kill(): Promise<void>;
};

export type TestHost = ReturnType<typeof link> & {
  readonly name: string;
  readonly namespace: string;
  readonly bird: Bird;
  /** Runs iproute2 inside. */
  ip(...args: readonly string[]): Promise<string>;
  /** Any other program inside; rejects when it fails. */
  exec(program: string, ...args: readonly string[]): Promise<string>;
  /** Adds or removes a route to a workload, as Felix does. */
  workloadRoute(verb: 'add' | 'replace' | 'del', prefix: string, metric?: number): Promise<void>;
  /** The kernel's routes to a prefix, one line each. */
  routesTo(prefix: string): Promise<readonly string[]>;
  startAgent(options?: Readonly<Record<string, string>>): void;
  /** Kills the agent with SIGKILL. */
  killAgent(): Promise<void>;
  /** Resolves when the agent reports that it is ready: everything known is applied. */
  ready(): Promise<void>;
  /** The value of one of the agent's metrics. */
  metric(name: string): Promise<number>;
  /** Ends the agent with SIGTERM and returns its exit status. */
  endAgent(): Promise<number | null>;
  agentLog(): string;
  /** Runs `calico-bird-agent --show` with the options with which the agent was last started. */
  show(...options: readonly string[]): Promise<string>;
};

type BgpPlural = 'nodes' | 'bgpconfigurations' | 'bgppeers' | 'bgpfilters' | 'ippools';

export type World = {
  readonly etcdProcess: EtcdProcess;
  readonly router: { readonly namespace: string; readonly bird: Bird; ip(...args: readonly string[]): Promise<string> };
  readonly hosts: readonly TestHost[];
  put(plural: BgpPlural, name: string, spec: object, metadata?: object): Promise<unknown>;
  putText(plural: BgpPlural, name: string, text: string): Promise<unknown>;
  get(plural: BgpPlural, name: string): Promise<string>;
  remove(plural: BgpPlural, name: string): Promise<unknown>;
  /** Starts a live migration of a port with these addresses: writes its endpoint on `from`, and its LiveMigration. */
  migrate(from: string, to: string, addresses: readonly string[]): Promise<unknown>;
  /** Deletes the LiveMigration. */
  migrated(): Promise<unknown>;
  readonly directory: string;
  close(): Promise<void>;
};

let worlds = 0;

export async function openWorld(size: number): Promise<World> {
  worlds += 1;
  const prefix = `ba${process.pid}w${worlds}`;
  const directory = mkdtempSync(join(tmpdir(), 'bird-agent-test-'));
  const cleanups: (() => Promise<unknown> | unknown)[] = [() => rmSync(directory, { recursive: true, force: true })];
  const close = async (): Promise<void> => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  };
  try {
    const namespace = async (name: string): Promise<string> => {
      await run('ip', ['netns', 'add', `${prefix}-${name}`]);
      cleanups.push(() => run('ip', ['netns', 'del', `${prefix}-${name}`]));
      await run('ip', ['-n', `${prefix}-${name}`, 'link', 'set', 'lo', 'up']);
      await run('ip', [
        'netns',
        'exec',
        `${prefix}-${name}`,
        'sysctl',
        '-qw',
        'net.ipv4.ip_forward=1',
        'net.ipv6.conf.all.forwarding=1',
        'net.ipv6.conf.default.accept_dad=0',
      ]);
      return `${prefix}-${name}`;
    };
    const routerNamespace = await namespace('router');
    const hostNamespaces: string[] = [];
    for (let number = 0; number < size; number += 1) {
      hostNamespaces.push(await namespace(`h${number}`));
      await lay(routerNamespace, hostNamespaces[number]!, number);
    }
    await run('ip', ['-n', routerNamespace, 'addr', 'add', '198.51.100.1/32', 'dev', 'lo']);
    const etcdProcess = await startEtcd({ prefix: ['ip', 'netns', 'exec', routerNamespace], host: '198.51.100.1', rootPassword: 'root' });
    cleanups.push(() => etcdProcess.stop());
    // Each agent has only the rights that the documentation has operators give it.
    for (let number = 0; number < size; number += 1) await etcdProcess.addUser(`host-${number}`, etcdPassword, birdAgentRights(undefined, `host-${number}`));
    return {
      etcdProcess,
      directory,
      router: { namespace: routerNamespace, bird: birdAt(directory, 'router', cleanups), ip: ipIn(routerNamespace) },
      hosts: hostNamespaces.map((name, number) => testHost(`host-${number}`, name, number, directory, etcdProcess.endpoint, cleanups)),
      put: (plural, name, spec, metadata = {}) =>
        etcdProcess.etcdctl('put', resourceKey({ plural, name }), JSON.stringify({ metadata: { name, ...metadata }, spec })),
      putText: (plural, name, text) => etcdProcess.etcdctl('put', resourceKey({ plural, name }), text),
      get: (plural, name) => etcdProcess.etcdctl('get', '--print-value-only', resourceKey({ plural, name })),
      remove: (plural, name) => etcdProcess.etcdctl('del', resourceKey({ plural, name })),
      async migrate(from, to, addresses) {
        const end = (host: string) => ({ hostname: host, orchestratorID: 'openstack', workloadID: 'openstack/vm', endpointID: 'port' });
        const name = (host: string): string => workloadEndpointName({ host, orchestrator: 'openstack', workload: 'vm', endpoint: 'port' });
        const endpoint = { metadata: { name: name(from) }, spec: { interfaceName: 'tap0', ipNetworks: addresses } };
        const migration = { metadata: { name: name(to) }, spec: { source: { workloadEndpoint: end(from) }, target: { workloadEndpoint: end(to) } } };
        await etcdProcess.etcdctl('put', resourceKey({ plural: 'workloadendpoints', namespace: 'openstack', name: name(from) }), JSON.stringify(endpoint));
        await etcdProcess.etcdctl('put', resourceKey({ plural: 'livemigrations', namespace: 'openstack', name: name(to) }), JSON.stringify(migration));
      },
      migrated: () => etcdProcess.etcdctl('del', '--prefix', resourcePrefix('livemigrations')),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

const ipIn =
  (namespace: string) =>
  async (...args: readonly string[]): Promise<string> =>
    (await run('ip', ['-n', namespace, ...args])).stdout;

/** The status and body of an HTTP answer, requested from inside a namespace. */
async function fetchIn(namespace: string, url: string): Promise<string> {
  const script = 'const answer = await fetch(process.argv[1]); process.stdout.write([answer.status, await answer.text()].join("\\n"));';
  return (await run('ip', ['netns', 'exec', namespace, process.execPath, '--input-type=module', '-e', script, url])).stdout;
}

async function lay(router: string, host: string, number: number): Promise<void> {
  const { host4, host6, router4, router6 } = link(number);
  const commands = [
    ['-n', host, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', `h${number}`, 'netns', router],
    ['-n', host, 'addr', 'add', `${host4}/30`, 'dev', 'eth0'],
    ['-n', router, 'addr', 'add', `${router4}/30`, 'dev', `h${number}`],
    ['-n', host, '-6', 'addr', 'add', `${host6}/64`, 'dev', 'eth0'],
    ['-n', router, '-6', 'addr', 'add', `${router6}/64`, 'dev', `h${number}`],
    ['-n', host, 'link', 'set', 'eth0', 'up'],
    ['-n', router, 'link', 'set', `h${number}`, 'up'],
    ['-n', host, 'route', 'add', 'default', 'via', router4],
    ['-n', host, '-6', 'route', 'add', 'default', 'via', router6],
    ['-n', host, 'link', 'add', 'tap0', 'type', 'ifb'], // stands for a workload's interface
    ['-n', host, 'link', 'set', 'tap0', 'up'],
  ];
  for (const command of commands) await run('ip', command);
}

function birdAt(directory: string, name: string, cleanups: (() => unknown)[]): Bird {
  const [configFile, socket, pidFile] = ['conf', 'ctl', 'pid'].map((ending) => join(directory, `${name}.${ending}`)) as [string, string, string];
  const steady = steadyMoments();
  let control: BirdControl | undefined;
  const connected = async (): Promise<BirdControl> => {
    if (!control) {
      const fresh = await connectBird(socket, 5000);
      control = fresh;
      void fresh.closed.then(() => {
        if (control === fresh) control = undefined;
      });
    }
    return control;
  };
  const all = async (): Promise<readonly ProtocolStatus[]> =>
    (await protocols(await connected())).map((each) => ({ ...each, since: steady(each.name, each.since) }));
  const ask = async (command: string): Promise<string> => (await (await connected()).ask(command)).lines.map(({ text }) => text).join('\n');
  const pid = (): number => pidIn(pidFile, socket);
  const kill = async (): Promise<void> => {
    process.kill(pid(), 'SIGKILL');
    await control?.closed;
  };
  cleanups.push(async () => {
    control?.close();
    try {
      process.kill(pid(), 'SIGKILL');
    } catch {
      // BIRD was not running
    }
  });
  return {
    configFile,
    socket,
    sessions: async () => (await all()).filter(({ type }) => type === 'BGP'),
    session: async (symbol) => (await all()).find((each) => each.name === symbol),
    reconfigurations: () => readFileSync(join(directory, `${name}.bird.log`), 'utf8').match(/Reconfiguring$/gm)?.length ?? 0,
    ask,
    pid,
    kill,
  };
}

/**
 * The process id in a BIRD's pid file. A BIRD that starts in the background writes it a moment later. A killed one leaves the file behind, and its number may be another program's.
 * @param socket the control socket in that BIRD's arguments
 */
export function pidIn(pidFile: string, socket: string): number {
  const pid = Number(readFileSync(pidFile, 'utf8'));
  // Process 0 would be the caller's whole process group for kill(2).
  if (!(pid > 0)) throw new Error(`${pidFile} names no process yet`);
  if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(socket)) throw new Error(`process ${pid} in ${pidFile} is not that BIRD`);
  return pid;
}

/** Starts a BIRD as a distribution does: in the background, with the existing configuration. */
export async function startBirdIn(namespace: string, bird: Bird, configuration: string, ...options: readonly string[]): Promise<void> {
  writeFileSync(bird.configFile, configuration, { mode: 0o640 });
  await run('ip', ['netns', 'exec', namespace, 'bird', '-c', bird.configFile, '-s', bird.socket, '-P', bird.socket.replace(/ctl$/, 'pid'), ...options]);
  await until('the pid of BIRD', () => bird.pid());
}

/**
 * The configuration of the router's BIRD as a network team would write it: a session with each host, of which the hosts need BGPPeers. It passes learned routes on.
 * @param more protocols besides
 * @param asOf the AS number of a host, by its place in the list
 */
export const routerConfiguration = ({ directory, hosts }: World, more = '', asOf: (number: number) => number = () => 64512): string => `
log "${directory}/router.log" all;
router id 198.51.100.1;
protocol device {}
protocol kernel { persist; ipv4 { import none; export where source = RTS_BGP; }; }
protocol kernel { persist; ipv6 { import none; export where source = RTS_BGP; }; }
${more}
${hosts
  .flatMap(({ host4, host6 }, number) =>
    [host4, host6].map(
      (address, family) => `protocol bgp tor${number}${family} {
  local as ${routerAs}; neighbor ${address} as ${asOf(number)}; passive; connect delay time 1;
  ${family === 0 ? 'ipv4' : 'ipv6'} { import all; export all; };
}`,
    ),
  )
  .join('\n')}
`;

function testHost(name: string, namespace: string, number: number, directory: string, endpoint: string, cleanups: (() => unknown)[]): TestHost {
  const ip = ipIn(namespace);
  const bird = birdAt(directory, name, cleanups);
  const logFile = join(directory, `${name}.log`);
  let agent: ChildProcess | undefined;
  let ended: Promise<number | null> = Promise.resolve(null);
  const end = (signal: NodeJS.Signals): Promise<number | null> => {
    agent?.kill(signal);
    return ended;
  };
  cleanups.push(() => end('SIGKILL'));
  const familyOption = (prefix: string): string[] => (prefix.includes(':') ? ['-6'] : []);
  return {
    ...link(number),
    name,
    namespace,
    bird,
    ip,
    exec: async (program, ...args) => (await run('ip', ['netns', 'exec', namespace, program, ...args])).stdout,
    async workloadRoute(verb, prefix, metric = 1024) {
      await ip(...familyOption(prefix), 'route', verb, prefix, 'dev', 'tap0', 'proto', '3', 'metric', String(metric));
    },
    async routesTo(prefix) {
      return (await ip(...familyOption(prefix), 'route', 'show', prefix))
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => line !== '');
    },
    startAgent(options = {}) {
      const settings = {
        EtcdEndpoints: endpoint,
        EtcdUsername: name,
        EtcdPassword: etcdPassword,
        Hostname: name,
        BirdConfigFile: bird.configFile,
        BirdSocket: bird.socket,
        BirdPidFile: bird.socket.replace(/ctl$/, 'pid'),
        BirdLogFile: join(directory, `${name}.bird.log`),
        LogFilePath: 'none',
        StartBird: 'true',
        BgpHoldTimeSecs: '9',
        HealthEnabled: 'true',
        HealthHost: '127.0.0.1',
        PrometheusMetricsEnabled: 'true',
        PrometheusMetricsHost: '127.0.0.1',
        ...options,
      };
      const file = join(directory, `${name}.cfg`);
      writeFileSync(
        file,
        `[global]\n${Object.entries(settings)
          .map(([option, value]) => `${option} = ${value}\n`)
          .join('')}`,
      );
      const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, join(import.meta.dirname, '../bin/calico-bird-agent.ts'), '-c', file], {
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      agent = child;
      const log = createWriteStream(logFile, { flags: 'a' });
      child.stdout?.pipe(log, { end: false });
      child.stderr?.pipe(log, { end: false });
      ended = new Promise((resolve) => child.once('exit', (exitCode) => resolve(exitCode)));
    },
    killAgent: async () => {
      await end('SIGKILL');
    },
    endAgent: () => end('SIGTERM'),
    ready: async () => {
      await until(`${name} ready`, async () => ((await fetchIn(namespace, `http://127.0.0.1:9097/readiness`)).startsWith('200') ? true : undefined));
    },
    async metric(metric) {
      const line = (await fetchIn(namespace, 'http://127.0.0.1:9096/metrics')).split('\n').find((each) => each.startsWith(`${metric} `));
      return Number(line?.split(' ')[1]);
    },
    agentLog: () => readFileSync(logFile, 'utf8'),
    show: async (...options) =>
      (await run(process.execPath, [join(import.meta.dirname, '../bin/calico-bird-agent.ts'), '--show', '-c', join(directory, `${name}.cfg`), ...options]))
        .stdout,
  };
}
