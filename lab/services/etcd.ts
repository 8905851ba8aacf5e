import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
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
  /** The services of its members; the first is this one. */
  readonly members: readonly Service[];
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

/** etcdctl's own limits, 2 and 5 s, are too short for a busy machine. */
const patience = ['--dial-timeout', '60s', '--command-timeout', '60s'];

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

/** The port at which this member of etcd serves clients, from 1. Its peers reach it at the next one. */
export const clientPortOf = (member: number): number => 2279 + 100 * member;

/** Describes an etcd on the control machine. Its data survive a kill and a restart. `start` starts all members, everything else concerns the first. */
export function etcdService(processes: Processes, control: Joined, users: boolean, count = 1): Etcd {
  const endpoint = `http://${control.link.machine4}:${clientPortOf(1)}`;
  const once = (args: readonly string[]): Promise<string> =>
    processes.run('etcdctl', ['--endpoints', endpoint, ...patience, ...(users ? ['--user', `root:${password}`] : []), ...args], {
      on: control,
      env: { ETCDCTL_API: '3' },
    });
  /** While several members elect a leader, requests fail; they are repeated. */
  const ctl = async (...args: readonly string[]): Promise<string> => {
    for (let left = count === 1 ? 0 : 20; ; left -= 1) {
      try {
        return await once(args);
      } catch (error) {
        if (left === 0 || !/leader changed|no leader|timed out|deadline exceeded/.test((error as Error).message)) throw error;
        await delay(500);
      }
    }
  };
  const members = Array.from({ length: count }, (_, index) => member(processes, control, { users, count, number: index + 1, ctl }));
  const first = members[0]!;
  const startFirst = first.start;
  const start = async (): Promise<void> => void (await Promise.all([startFirst(), ...members.slice(1).map((each) => each.start())]));
  const all = async (): Promise<ReadonlyMap<string, string>> => {
    const { kvs = [] } = JSON.parse(await ctl('get', '', '--prefix', '-w', 'json')) as { kvs?: { key: string; value?: string }[] };
    const text = (encoded = ''): string => Buffer.from(encoded, 'base64').toString('utf8');
    return new Map(kvs.map(({ key, value }) => [text(key), text(value)]));
  };
  return Object.assign(first, { start, members, endpoint, administrator: users ? { username: 'root', password } : undefined, ctl, all });
}

type Member = { readonly users: boolean; readonly count: number; readonly number: number; readonly ctl: Etcd['ctl'] };

function member(processes: Processes, control: Joined, { users, count, number, ctl }: Member): Service {
  const called = (which: number): string => (which === 1 ? 'lab' : `lab-${which}`);
  const peersOf = (which: number): string => `http://127.0.0.1:${clientPortOf(which) + 1}`;
  const name = number === 1 ? 'control/etcd' : `control/etcd-${number}`;
  const endpoint = `http://${control.link.machine4}:${clientPortOf(number)}`;
  const cluster = Array.from({ length: count }, (_, index) => `${called(index + 1)}=${peersOf(index + 1)}`).join(',');
  const service = processes.service({
    name,
    on: control,
    command: 'etcd',
    args: [
      ...['--name', called(number), '--data-dir', join(processes.directory, name, 'data')],
      ...['--listen-client-urls', endpoint, '--advertise-client-urls', endpoint],
      ...(users ? ['--bcrypt-cost', '4'] : []), // a lab's passwords are no secrets
      ...(count > 1 ? ['--heartbeat-interval', '300', '--election-timeout', '3000'] : []), // on a busy machine they would elect again and again
      ...['--listen-peer-urls', peersOf(number), '--initial-advertise-peer-urls', peersOf(number), '--initial-cluster', cluster],
    ],
    // etcdctl would wait for the server by itself, but it retries only after a second. So it is called as soon as the log says that clients are served.
    ready: async (hopeful) => {
      await until('etcd to serve clients', () => service.said().includes('ready to serve client requests') || undefined, { hopeful });
      if (number === 1) await ctl('endpoint', 'health');
    },
  });
  return service;
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
