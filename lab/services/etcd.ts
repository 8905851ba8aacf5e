import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type EtcdPart, etcdParts, etcdUserName } from '@calico-openstack/datamodel';
import type { Joined, Plan } from '../plan.ts';
import type { Processes, Service } from '../process.ts';
import { until } from '../wait.ts';

/** The lab's etcd. */
export interface Etcd extends Service {
  /** The URL by which every machine of the lab reaches it. */
  readonly endpoint: string;
  /** The user who may do everything, where etcd knows users. */
  readonly administrator: { readonly username: string; readonly password: string } | undefined;
  /** Runs etcdctl on the control machine and returns what it prints. */
  ctl(...args: readonly string[]): Promise<string>;
  /** All values by key. */
  all(): Promise<ReadonlyMap<string, string>>;
}

/** How the parts reach etcd. */
export type EtcdAccess = {
  readonly host: string;
  readonly port: number;
  /** Whether etcd knows users: each part has one of its own, with the least rights that it needs. */
  readonly users: boolean;
};

/** The password of every user of a lab's etcd. */
const password = 'lab';

/** A part's user and password. @param where its host */
export function credentialsOf({ users }: EtcdAccess, part: EtcdPart, where?: string): { readonly username: string; readonly password: string } | undefined {
  return users ? { username: etcdUserName(part, where), password } : undefined;
}

/** The section of neutron.conf that says how etcd is reached. */
export function neutronEtcdLines(etcd: EtcdAccess, part: 'calico-dhcp-agent' | 'calico-neutron-driver', where?: string): string {
  const credentials = credentialsOf(etcd, part, where);
  const user = credentials === undefined ? '' : `etcd_username = ${credentials.username}\netcd_password = ${credentials.password}\n`;
  return `[calico]\netcd_host = ${etcd.host}\netcd_port = ${etcd.port}\n${user}`;
}

/** Describes an etcd of one member on the control machine. Its data survive a kill and a restart. */
export function etcdService(processes: Processes, control: Joined, users: boolean): Etcd {
  const name = 'control/etcd';
  const endpoint = `http://${control.link.machine4}:2379`;
  const peers = 'http://127.0.0.1:2380';
  const ctl = (...args: readonly string[]): Promise<string> =>
    processes.run('etcdctl', ['--endpoints', endpoint, ...(users ? ['--user', `root:${password}`] : []), ...args], { on: control, env: { ETCDCTL_API: '3' } });
  const service = processes.service({
    name,
    on: control,
    command: 'etcd',
    args: [
      ...['--name', 'lab', '--data-dir', join(processes.directory, name, 'data')],
      ...['--listen-client-urls', endpoint, '--advertise-client-urls', endpoint],
      ...(users ? ['--bcrypt-cost', '4'] : []), // a lab's passwords are no secrets
      ...['--listen-peer-urls', peers, '--initial-advertise-peer-urls', peers, '--initial-cluster', `lab=${peers}`],
    ],
    // etcdctl would wait for the server by itself, but it retries only after a second. So it is called as soon as the log says that clients are served.
    ready: async (hopeful) => {
      await until('etcd to serve clients', () => service.said().includes('ready to serve client requests') || undefined, { hopeful });
      await ctl('endpoint', 'health');
    },
  });
  const all = async (): Promise<ReadonlyMap<string, string>> => {
    const { kvs = [] } = JSON.parse(await ctl('get', '', '--prefix', '-w', 'json')) as { kvs?: { key: string; value?: string }[] };
    const text = (encoded = ''): string => Buffer.from(encoded, 'base64').toString('utf8');
    return new Map(kvs.map(({ key, value }) => [text(key), text(value)]));
  };
  return Object.assign(service, { endpoint, administrator: users ? { username: 'root', password } : undefined, ctl, all });
}

/** Makes the users of all parts as an operator would, with `calico-openstack etcd-roles`, and switches authentication on. */
export async function makeUsers(processes: Processes, etcd: Etcd, { control, hosts }: Plan): Promise<void> {
  const directory = join(processes.directory, 'passwords');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const users = [...hosts.flatMap(({ name }) => etcdParts.map((part) => etcdUserName(part, name))), etcdUserName('calico-neutron-driver', undefined)];
  for (const user of users) writeFileSync(join(directory, user), `${password}\n`, { mode: 0o600 });
  const program = join(import.meta.dirname, '../../packages/operator/src/bin/calico-openstack.ts');
  const command = [program, 'etcd-roles', '--apply', '--endpoints', etcd.endpoint, '--passwords', directory, '--host', ...hosts.map(({ name }) => name)];
  await processes.run(process.execPath, command, { on: control });
  await etcd.ctl('user', 'add', `root:${password}`);
  await etcd.ctl('user', 'grant-role', 'root', 'root');
  await etcd.ctl('auth', 'enable');
}

/** Describes etcd's own grpc-proxy, on the control machine: large clouds put it between their hosts and etcd. */
export function grpcProxyService(processes: Processes, control: Joined, etcd: Etcd): Service & { readonly port: number } {
  const port = 2378;
  const name = 'control/grpc-proxy';
  const service = processes.service({
    name,
    on: control,
    command: 'etcd',
    args: [
      ...['grpc-proxy', 'start', '--endpoints', new URL(etcd.endpoint).host],
      ...['--listen-addr', `${control.link.machine4}:${port}`, '--data-dir', join(processes.directory, name, 'data')],
    ],
    ready: async (hopeful) => {
      await until('the grpc-proxy to listen', () => service.said().includes('listening for') || undefined, { hopeful });
    },
  });
  return Object.assign(service, { port });
}
