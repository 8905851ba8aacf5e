// A whole lab: its parts, how they are brought up, and how they are removed.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { claimDirectory, directoryOf, type Foreign, type LabState, type Part, type Reporting, readState, thisProcess, writeState } from './directory.ts';
import { takeDown } from './down.ts';
import { LabError } from './errors.ts';
import { type ComputeHost, computeHost, startHost } from './host.ts';
import { checkNova, type Nova, novaServices } from './nova/nova.ts';
import { type OpenStack, openStack, writeCredentials } from './openstack.ts';
import { type Host, isOneNetwork, makePlan, type Plan, type Rack, reflectorsOf, type Topology } from './plan.ts';
import { createProcesses, type Processes, type Service } from './process.ts';
import { type Progress, silent } from './progress.ts';
import { type Bird, birdService, rackConfiguration, routerConfiguration } from './services/bird.ts';
import { clientPortOf, type Etcd, etcdService, grpcProxyService, makeUsers } from './services/etcd.ts';
import { type Keystone, keystoneService } from './services/keystone.ts';
import { type MariaDb, mariaDbService } from './services/mariadb.ts';
import { driverService, type MechanismDriver, type Neutron, type NeutronOptions, neutronService } from './services/neutron.ts';
import { writeOperatorResources } from './services/operator.ts';
import { type Tables, tables } from './services/tables.ts';
import { layGround } from './topology.ts';
import { tailOf } from './wait.ts';

/** A lab, its services and its clients. */
export interface Lab {
  readonly plan: Plan;
  readonly directory: string;
  readonly processes: Processes;
  readonly router: Plan['router'] & { readonly bird: Bird };
  readonly racks: readonly (Rack & { readonly bird: Bird })[];
  readonly etcd: Etcd;
  /** etcd's grpc-proxy, if the parts reach etcd through it. */
  readonly grpcProxy: Service | undefined;
  /** Whether etcd knows users. */
  readonly etcdUsers: boolean;
  readonly mariadb: MariaDb;
  readonly tables: Tables;
  readonly keystone: Keystone;
  readonly neutron: Neutron;
  /** undefined in a lab without the driver. `without` lists all parts that are left out. */
  readonly driver: Service | undefined;
  readonly hosts: readonly ComputeHost[];
  /** undefined in a lab without Nova. */
  readonly nova: Nova | undefined;
  readonly openstack: OpenStack;
  /** Describes one more Neutron with its driver, on the same database and etcd; where etcd has several members, with the one of this number. Neither is started. */
  anotherServer(server: number): NeutronServer;
  /** Describes one more Neutron on the same database, with another mechanism driver. It is not started. */
  serverWith(server: number, driver: MechanismDriver): { readonly neutron: Neutron; readonly openstack: OpenStack };
  readonly without: ReadonlySet<Part>;
  readonly foreign: Foreign;
  /** Makes the lab stay up when this process ends. */
  release(): void;
  /** Removes the whole lab. May be called at any time, also while the lab comes up. */
  down(): Promise<void>;
}

/** A Neutron with its driver, and the client that asks this Neutron. */
export type NeutronServer = { readonly neutron: Neutron; readonly driver: Service; readonly openstack: OpenStack };

/** The options of a lab. */
export type LabOptions = {
  /** The lab's name, in front of its namespaces and files. */
  readonly prefix: string;
  readonly hosts?: number;
  /** The default is `router`. */
  readonly topology?: Topology;
  /** The parts of the project to leave out. */
  readonly without?: Iterable<Part>;
  readonly reporting?: Reporting;
  /** Whether all parts reach etcd through its grpc-proxy. */
  readonly grpcProxy?: boolean;
  /** Whether etcd knows users: then each part has its least rights alone. */
  readonly etcdUsers?: boolean;
  /** How many members etcd has. The default is 1. */
  readonly etcdMembers?: number;
  /** Parts that are not the project's own. */
  readonly foreign?: Foreign;
  /** Whether Neutron has `core_plugin = calico`, in place of ML2 with the mechanism driver `calico`. */
  readonly corePlugin?: boolean;
  /** Whether Nova runs, with libvirt and QEMU on each host. */
  readonly nova?: boolean;
  /** The folder of the virtual environment whose Neutron runs. The default is `LAB_NEUTRON` in the environment, and without that Debian's. */
  readonly neutronEnvironment?: string | undefined;
  readonly progress?: Progress;
  /** Aborting it stops the lab from coming up. */
  readonly signal?: AbortSignal;
};

const root = join(import.meta.dirname, '..');

/** Brings a lab up. When that fails or is aborted, removes what exists of the lab before it rejects. */
export async function bringUp({
  prefix,
  hosts = 3,
  topology = 'router',
  without = [],
  reporting,
  grpcProxy = false,
  etcdUsers = false,
  etcdMembers = 1,
  foreign,
  corePlugin = false,
  nova = false,
  neutronEnvironment = process.env['LAB_NEUTRON'],
  progress = silent(),
  signal,
}: LabOptions): Promise<Lab> {
  if (process.getuid?.() !== 0) throw new LabError('NOT_ROOT', 'a lab creates network namespaces, which only root may do: try sudo');
  const plan = makePlan(prefix, hosts, topology);
  const state: LabState = {
    prefix,
    hosts,
    topology,
    without: [...without],
    reporting,
    grpcProxy,
    etcdUsers,
    etcdMembers,
    foreign,
    corePlugin,
    nova,
    neutronEnvironment,
    owner: thisProcess(),
  };
  if (state.without.includes('bird-agent') && isOneNetwork(topology))
    throw new LabError('BAD_OPTION', `in the topology ${topology} hosts peer as the BIRD agent has them: there is none without it`);
  if (nova) checkNova();
  claimDirectory(state);
  const abort = new AbortController();
  const lab = describe(plan, state, abort);
  const stop = (): void => abort.abort(signal?.reason);
  signal?.addEventListener('abort', stop);
  try {
    if (signal?.aborted) stop();
    checkExecutables(lab);
    writeCredentials(lab.directory, lab.openstack.environment);
    await startAll(lab, progress, abort);
    return lab;
  } catch (error) {
    await lab.down();
    throw error;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

/** Opens a lab that is up already. NO_SUCH_LAB if there is none of that name. */
export function openLab(prefix: string): Lab {
  const state = readState(prefix);
  if (state === undefined) throw new LabError('NO_SUCH_LAB', `there is no lab called ${prefix}; bring it up with: npm run lab -- up --prefix ${prefix}`);
  return describe(makePlan(prefix, state.hosts, state.topology), state, new AbortController());
}

/** Describes all parts of a lab, whether they run or not. Changes nothing. */
function describe(plan: Plan, state: LabState, abort: AbortController): Lab {
  const directory = directoryOf(plan.prefix);
  const processes = createProcesses(directory, abort.signal);
  const without = new Set(state.without);
  const foreignDriver = state.foreign?.driver;
  const { control } = plan;
  const users = state.etcdUsers ?? false;
  const etcd = etcdService(processes, control, users, state.etcdMembers);
  const grpcProxy = state.grpcProxy ? grpcProxyService(processes, control, etcd) : undefined;
  const etcdAddress = { host: control.link.machine4, port: grpcProxy?.port ?? 2379, users };
  const mariadb = mariaDbService(processes, control);
  const keystone = keystoneService(processes, control, mariadb);
  const neutronOptions: NeutronOptions = {
    mariadb,
    keystone,
    etcd: etcdAddress,
    driver: foreignDriver !== undefined ? { foreignPackages: foreignDriver } : without.has('neutron-driver') ? undefined : { folder: join(root, 'neutron') },
    reporting: state.reporting,
    corePlugin: state.corePlugin ?? false,
    nova: state.nova ?? false,
    environment: state.neutronEnvironment,
  };
  const neutron = neutronService(processes, control, neutronOptions);
  const nova = state.nova ? novaServices(processes, plan, { mariadb, authUrl: keystone.authUrl, pythonPath: neutron.pythonPath }) : undefined;
  const driver =
    without.has('neutron-driver') || foreignDriver !== undefined ? undefined : driverService(processes, control, neutron, executable('calico-neutron-driver'));
  return {
    plan,
    directory,
    processes,
    router: { ...plan.router, bird: birdService(processes, plan.router, routerConfiguration(plan), false) },
    racks: plan.racks.map((rack) => ({ ...rack, bird: birdService(processes, rack, rackConfiguration(plan, rack), false) })),
    etcd,
    grpcProxy,
    etcdUsers: users,
    mariadb,
    tables: tables(processes, mariadb, keystone, neutron, nova),
    keystone,
    neutron,
    driver,
    hosts: plan.hosts.map((host) =>
      computeHost(processes, host, {
        etcd: etcdAddress,
        without,
        reporting: state.reporting,
        metadata: state.nova ? control.link.machine4 : undefined,
        foreign: state.foreign ?? {},
        executable,
      }),
    ),
    nova,
    openstack: openStack(processes, control, keystone, neutron),
    anotherServer(server) {
      const port = server <= etcd.members.length ? clientPortOf(server) : etcdAddress.port;
      const another = neutronService(processes, control, { ...neutronOptions, etcd: { ...etcdAddress, port }, server });
      const itsDriver = driverService(processes, control, another, executable('calico-neutron-driver'), server);
      return { neutron: another, driver: itsDriver, openstack: openStack(processes, control, keystone, another) };
    },
    serverWith(server, mechanism) {
      const another = neutronService(processes, control, { ...neutronOptions, driver: mechanism, server });
      return { neutron: another, openstack: openStack(processes, control, keystone, another) };
    },
    without,
    foreign: state.foreign ?? {},
    release: () => writeState({ ...state, owner: undefined }),
    async down() {
      abort.abort(new Error(`the lab ${plan.prefix} is being removed`));
      await processes.idle();
      await takeDown(plan.prefix);
    },
  };
}

async function startAll(lab: Lab, { step }: Progress, abort: AbortController): Promise<void> {
  const { plan, processes, router, racks, etcd, grpcProxy, mariadb, tables, keystone, neutron, driver, hosts, openstack } = lab;
  await step(`a router and ${hosts.length} compute hosts, as network namespaces`, () => layGround(processes, plan));
  const startDatastore = async (): Promise<void> => {
    await step('etcd', etcd.start);
    if (lab.etcdUsers) await step('users and least rights in etcd', () => makeUsers(processes, etcd, plan));
    if (grpcProxy !== undefined) await step("etcd's grpc-proxy", grpcProxy.start);
  };
  const datastore = startDatastore();
  const compute = async (): Promise<void> => {
    await datastore;
    await step(
      'BIRD on the routers',
      async () =>
        void (await allDone(
          [router, ...racks].map(({ bird }) => bird.start()),
          abort,
        )),
    );
    if (!lab.without.has('bird-agent')) await step('the BGP resources that an operator would make', () => writeOperatorResources(etcd, plan));
    await step('the agents on each compute host', async () => void (await allDone(hosts.map(startHost), abort)));
    await step(steps[plan.topology], () => bgpUp(lab));
  };
  const makeTables = async (): Promise<void> => {
    await step('MariaDB', async () => {
      await mariadb.start();
      await mariadb.sql('CREATE DATABASE keystone CHARACTER SET utf8; CREATE DATABASE neutron CHARACTER SET utf8');
    });
    await allDone([step("Keystone's tables", keystone.migrate), step("Neutron's tables", neutron.migrate)], abort);
    if (lab.nova) await step("Nova's, Placement's and Glance's tables", lab.nova.migrate);
    await step('a copy of the tables for the next lab', tables.keep);
  };
  const openStackServices = async (): Promise<void> => {
    if (await tables.restore()) await step('MariaDB, with the tables that an earlier lab made', mariadb.start);
    else await makeTables();
    await datastore;
    if (driver !== undefined) await step("Neutron's driver daemon", driver.start);
    // Keystone is needed only by Neutron's first request, so the two start side by side.
    await allDone(
      [
        step('Keystone', keystone.start).then(() => step('the catalogue', () => openstack.register({ name: 'neutron', type: 'network', url: neutron.url }))),
        step('Neutron', neutron.start),
      ],
      abort,
    );
  };
  await allDone([datastore, compute(), openStackServices()], abort);
  if (!lab.without.has('neutron-driver') && listedAgents(lab).length > 0) await step('the agents of each host, alive in Neutron', () => agentsAlive(lab));
  agentsRun(lab);
  await lab.nova?.start(openstack, { step, together: (works) => allDone(works, abort) });
}

const steps: Readonly<Record<Topology, string>> = {
  router: 'BGP between the router and each host',
  mesh: 'BGP between all hosts',
  reflectors: 'BGP between each host and the reflectors',
  racks: 'BGP between the routers, and with each host',
};

/** The number of a host's BGP neighbours. */
function partnersOf({ topology, hosts, ...plan }: Plan, host: Host): number {
  const reflectors = reflectorsOf({ topology, hosts, ...plan });
  switch (topology) {
    case 'router':
    case 'racks':
      return 1;
    case 'mesh':
      return hosts.length - 1;
    case 'reflectors':
      return reflectors.some(({ name }) => name === host.name) ? hosts.length - 1 : reflectors.length;
    default:
      return topology satisfies never;
  }
}

/** Waits until all BGP sessions are established at both ends. Each pair of neighbours has a session for each family. */
async function bgpUp({ plan, processes, router, racks, hosts }: Lab): Promise<void> {
  const wanted = [
    ...hosts.map((host) => ({ bird: host.bird, partners: partnersOf(plan, host) })),
    ...[router, ...racks].map((each) => {
      const below = isOneNetwork(plan.topology) ? 0 : hosts.filter((host) => host.router.name === each.name).length;
      return { bird: each.bird, partners: below + (each.name === router.name ? racks.length : 1) };
    }),
  ];
  await processes.until('BGP sessions between all that are to speak', async () => {
    for (const { bird, partners } of wanted) {
      const states = [...(await bird.sessions()).values()];
      if (states.length !== partners * 2 || states.some((state) => state !== 'Established')) return undefined;
    }
    return true;
  });
}

/** The programs on each host that Neutron lists as agents. Upstream's driver knows of Felix alone, and upstream's DHCP agent sends no heartbeat. */
export function listedAgents({ without, foreign }: Pick<Lab, 'without' | 'foreign'>): readonly string[] {
  const listed = (part: Part): boolean =>
    !without.has(part) && (part === 'felix' || foreign.driver === undefined) && (part !== 'dhcp-agent' || foreign.dhcpAgent === undefined);
  return (['felix', 'dhcp-agent', 'bird-agent'] as const).filter(listed).map((part) => `calico-${part}`);
}

/** Waits until Neutron takes every agent for alive: it binds ports to no host without a living Felix. */
async function agentsAlive(lab: Lab): Promise<void> {
  const wanted = lab.hosts.flatMap(({ name }) => listedAgents(lab).map((program) => `${program} on ${name}`));
  const look = async (): Promise<true | undefined> => {
    const alive = new Set((await lab.openstack.list('agent')).flatMap((agent) => (agent.alive ? [`${agent.binary} on ${agent.host}`] : [])));
    return wanted.every((each) => alive.has(each)) || undefined;
  };
  await lab.processes.until('each host in the list of living agents', look, { timeoutMs: 300_000, intervalMs: 200, hopeful: () => agentsRun(lab) });
}

/** Throws ENDED_EARLY when an agent has ended. Some take a moment to find that they cannot run here. */
function agentsRun({ hosts }: Lab): void {
  for (const service of hosts.flatMap(({ felix, dhcpAgent, birdAgent }) => [felix, dhcpAgent, birdAgent]))
    if (service !== undefined && service.pid() === undefined) throw new LabError('ENDED_EARLY', `${service.name} has ended; ${tailOf(service.log)}`);
}

/**
 * Like Promise.all, but the first failure aborts the other works, and is reported only when they have stopped: nothing runs on while the lab is being removed.
 */
async function allDone(works: readonly Promise<void>[], abort: AbortController): Promise<void> {
  for (const work of works) work.catch((error) => abort.abort(error));
  await Promise.allSettled(works);
  await Promise.all(works.map((work) => work.catch(() => abort.signal.throwIfAborted())));
}

function executable(name: string): string {
  return join(root, 'node_modules/.bin', name);
}

/** Reports missing executables at once, instead of in the log of a service that did not start. */
function checkExecutables({ driver, hosts }: Lab): void {
  const services = [driver, ...hosts.flatMap(({ felix, dhcpAgent, birdAgent }) => [felix, dhcpAgent, birdAgent])];
  const missing = new Set(services.flatMap((service) => (service === undefined || existsSync(service.program.command) ? [] : [service.program.command])));
  if (missing.size > 0) throw new LabError('PROGRAM_MISSING', `these programs are missing: ${[...missing].join(', ')}; run: npm ci && npm run build`);
}
