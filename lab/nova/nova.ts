// The distribution's Nova in a lab: RabbitMQ, Placement, Glance, Nova's API, conductor and scheduler on the control machine, nova-compute with libvirtd on each host.
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LabError } from '../errors.ts';
import type { OpenStack } from '../openstack.ts';
import type { Plan } from '../plan.ts';
import type { Processes, Service } from '../process.ts';
import type { Progress } from '../progress.ts';
import type { MariaDb } from '../services/mariadb.ts';
import { type WsgiService, wsgiService } from '../services/uwsgi.ts';
import { type NovaHost, novaHost } from './compute.ts';
import { glance as glanceFile, novaControl, placement as placementFile, rabbit as rabbitFile } from './configuration.ts';

/** The lab's Nova, and what it needs beside it. */
export interface Nova {
  readonly api: WsgiService;
  /** Nova's metadata service. It knows a guest by its address, as Felix's NAT leaves that as it is. */
  readonly metadata: WsgiService;
  readonly glance: WsgiService;
  readonly placement: WsgiService;
  readonly rabbit: Service;
  readonly conductor: Service;
  readonly scheduler: Service;
  readonly hosts: readonly NovaHost[];
  /** The packages on whose versions the tables depend. */
  readonly packages: readonly string[];
  /** Everything except the versions on which the result of `migrate` depends. */
  readonly contents: string;
  /** Creates the databases and their tables. */
  migrate(): Promise<void>;
  /** Starts everything: MariaDB with the tables, Keystone and Neutron must run. */
  start(openstack: OpenStack, progress: Starting['progress']): Promise<void>;
}

/** What Nova needs to know of the lab. */
export type NovaOptions = { readonly mariadb: MariaDb; readonly authUrl: string; readonly pythonPath: string };

/** Where the metadata service listens, on the control machine. */
const metadataPort = 8775;

const databases = ['nova_api', 'nova', 'nova_cell0', 'placement', 'glance'] as const;

/** The URL of a cell's database as Nova stores it in its tables: the parts in braces are those of its own connection, so that the tables serve labs of any name. */
const cellDatabase = (name: string): string => `{scheme}://{username}@{hostname}/${name}?{query}`;

/** Describes Nova. */
export function novaServices(processes: Processes, plan: Plan, { mariadb, authUrl, pythonPath }: NovaOptions): Nova {
  const { control, hosts } = plan;
  const address = control.link.machine4;
  const folder = (name: string): string => join(processes.directory, 'control', name);
  const file = join(folder('nova-api'), 'nova.conf');
  const configure = (): void => {
    for (const name of ['nova-api', 'nova-metadata', 'placement', 'glance', 'glance/images', 'glance/staging', 'glance/tasks'])
      mkdirSync(folder(name), { recursive: true });
    writeFileSync(file, novaControl({ authUrl, address }, folder('nova-api'), mariadb.connection));
    copyFileSync('/etc/nova/api-paste.ini', join(folder('nova-api'), 'api-paste.ini'));
    writeFileSync(join(folder('placement'), 'placement.conf'), placementFile(authUrl, mariadb.connection('placement')));
    writeFileSync(join(folder('glance'), 'glance-api.conf'), glanceFile(authUrl, mariadb.connection('glance'), folder('glance')));
    copyFileSync('/etc/glance/glance-api-paste.ini', join(folder('glance'), 'glance-api-paste.ini'));
  };
  const wsgi = (name: string, port: number, program: string, env: Readonly<Record<string, string>>): WsgiService =>
    wsgiService(processes, { name: `control/${name}`, on: control, port, application: { file: program }, workers: 1, env, prepare: configure });
  const worker = (name: string): Service => processes.service({ name: `control/${name}`, on: control, command: name, args: ['--config-file', file] });
  const nova: Omit<Nova, 'start' | 'migrate' | 'packages' | 'contents'> = {
    api: wsgi('nova-api', 8774, '/usr/bin/nova-api-wsgi', { OS_NOVA_CONFIG_DIR: folder('nova-api') }),
    metadata: wsgi('nova-metadata', metadataPort, '/usr/bin/nova-metadata-wsgi', { OS_NOVA_CONFIG_DIR: folder('nova-api') }),
    placement: wsgi('placement', 8778, '/usr/bin/placement-api', { OS_PLACEMENT_CONFIG_DIR: folder('placement') }),
    glance: wsgi('glance', 9292, '/usr/bin/glance-wsgi-api', { OS_GLANCE_CONFIG_DIR: folder('glance') }),
    rabbit: rabbitService(processes, plan),
    conductor: worker('nova-conductor'),
    scheduler: worker('nova-scheduler'),
    hosts: hosts.map((host) => novaHost(processes, host, hosts, { authUrl, address, machine: control }, pythonPath)),
  };
  const manage = (...args: string[]): Promise<string> => processes.run('nova-manage', ['--config-file', file, ...args], { timeoutMs: 300_000 });
  return {
    ...nova,
    packages: ['python3-nova', 'python3-placement', 'python3-glance'],
    contents: JSON.stringify([databases, address, cellDatabase('nova')]),
    migrate: async () => {
      configure();
      await mariadb.sql(databases.map((name) => `CREATE DATABASE ${name} CHARACTER SET utf8`).join('; '));
      const timeoutMs = 300_000;
      await processes.run('placement-manage', ['--config-file', join(folder('placement'), 'placement.conf'), 'db', 'sync'], { timeoutMs });
      await processes.run('glance-manage', ['--config-file', join(folder('glance'), 'glance-api.conf'), 'db_sync'], { timeoutMs });
      await manage('api_db', 'sync');
      await manage('cell_v2', 'map_cell0', '--database_connection', cellDatabase('nova_cell0'));
      await manage('cell_v2', 'create_cell', '--name', 'cell1', '--database_connection', cellDatabase('nova'));
      await manage('db', 'sync');
    },
    start: (openstack, progress) => startNova(nova, { openstack, progress, processes, manage }),
  };
}

/** Describes RabbitMQ. It is started by its own script, because the one in the PATH changes to another user. */
function rabbitService(processes: Processes, { control }: Plan): Service {
  const name = 'control/rabbitmq';
  const directory = join(processes.directory, name);
  const service = processes.service({
    name,
    on: control,
    command: '/usr/lib/rabbitmq/bin/rabbitmq-server',
    args: [],
    env: {
      HOME: directory,
      RABBITMQ_NODENAME: 'lab@localhost',
      RABBITMQ_MNESIA_BASE: join(directory, 'mnesia'),
      RABBITMQ_LOG_BASE: directory,
      RABBITMQ_CONFIG_FILE: join(directory, 'rabbitmq'),
      RABBITMQ_CONF_ENV_FILE: join(directory, 'env'),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(directory, 'plugins'),
      RABBITMQ_PID_FILE: join(directory, 'pid'),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none', // no busy waiting
    },
    prepare: () => {
      mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, 'rabbitmq.conf'), rabbitFile(control.link.machine4));
      writeFileSync(join(directory, 'env'), '');
    },
    ready: async (hopeful) => {
      await processes.until('RabbitMQ', () => (/Starting broker.*completed|completed with \d+ plugins/s.test(service.said()) ? true : undefined), {
        hopeful,
        timeoutMs: 180_000,
        intervalMs: 100,
      });
    },
  });
  return service;
}

type Starting = {
  readonly openstack: OpenStack;
  /** Reports steps. `together` waits for all of these works, also after one has failed. */
  readonly progress: Pick<Progress, 'step'> & { together(works: readonly Promise<void>[]): Promise<void> };
  readonly processes: Processes;
  readonly manage: (...args: string[]) => Promise<string>;
};

async function startNova(nova: Omit<Nova, 'start' | 'migrate' | 'packages' | 'contents'>, { openstack, progress, processes, manage }: Starting): Promise<void> {
  const { step, together } = progress;
  await together([
    step('RabbitMQ', nova.rabbit.start),
    step("libvirtd on each host, in the host's own namespaces", () => together(nova.hosts.map(({ libvirtd }) => libvirtd.start()))),
    step('Placement', nova.placement.start),
    step('Glance', nova.glance.start),
    step("Nova's, Placement's and Glance's endpoints", async () => {
      await openstack.register({ name: 'nova', type: 'compute', url: `${nova.api.url}/v2.1` });
      await openstack.register({ name: 'placement', type: 'placement', url: nova.placement.url });
      await openstack.register({ name: 'glance', type: 'image', url: nova.glance.url });
    }),
  ]);
  await step("the plugin that marks Nova's taps, in force", async () => void (await nova.hosts[0]?.checkTaps()));
  await together([
    step("Nova's API and its metadata service", () => together([nova.api.start(), nova.metadata.start()])),
    step("Nova's conductor and scheduler", () => together([nova.conductor.start(), nova.scheduler.start()])),
    step('nova-compute on each host', async () => {
      await together(nova.hosts.map(({ compute }) => compute.start()));
      await processes.until('nova-compute of each host in the list of services', () => allUp(openstack, nova), { timeoutMs: 180_000, intervalMs: 500 });
    }),
  ]);
  await step('the hosts, known to the scheduler', async () => {
    await manage('cell_v2', 'discover_hosts');
  });
}

async function allUp(openstack: OpenStack, { api, hosts }: Pick<Nova, 'api' | 'hosts'>): Promise<true | undefined> {
  const answer = await openstack.ask(api.socket, 'GET', '/v2.1/os-services?binary=nova-compute');
  const { services } = JSON.parse(answer.body) as { services: { host: string; state: string }[] };
  return hosts.every(({ name }) => services.some(({ host, state }) => host === name && state === 'up')) || undefined;
}

/** Reports what Nova needs and this machine does not have. PROGRAM_MISSING when there is something. */
export function checkNova(): void {
  const needed = [
    '/usr/bin/nova-api-wsgi',
    '/usr/bin/nova-metadata-wsgi',
    '/usr/bin/nova-conductor',
    '/usr/bin/placement-api',
    '/usr/bin/glance-wsgi-api',
    '/usr/sbin/libvirtd',
    '/usr/bin/qemu-system-x86_64',
  ];
  const missing = [...needed, '/usr/lib/rabbitmq/bin/rabbitmq-server'].filter((path) => !existsSync(path));
  if (missing.length > 0) throw new LabError('PROGRAM_MISSING', `Nova needs ${missing.join(', ')}; run: tools/install demo nova`);
}
