import { join } from 'node:path';
import type { Joined } from '../plan.ts';
import type { Processes, Service } from '../process.ts';
import { until } from '../wait.ts';

/** The lab's etcd. */
export interface Etcd extends Service {
  /** The URL by which every machine of the lab reaches it. */
  readonly endpoint: string;
  /** Runs etcdctl on the control machine and returns what it prints. */
  ctl(...args: readonly string[]): Promise<string>;
  /** All values by key. */
  all(): Promise<ReadonlyMap<string, string>>;
}

/** Describes an etcd of one member on the control machine. Its data survive a kill and a restart. */
export function etcdService(processes: Processes, control: Joined): Etcd {
  const name = 'control/etcd';
  const endpoint = `http://${control.link.machine4}:2379`;
  const peers = 'http://127.0.0.1:2380';
  const ctl = (...args: readonly string[]): Promise<string> =>
    processes.run('etcdctl', ['--endpoints', endpoint, ...args], { on: control, env: { ETCDCTL_API: '3' } });
  const service = processes.service({
    name,
    on: control,
    command: 'etcd',
    args: [
      ...['--name', 'lab', '--data-dir', join(processes.directory, name, 'data')],
      ...['--listen-client-urls', endpoint, '--advertise-client-urls', endpoint],
      ...['--listen-peer-urls', peers, '--initial-advertise-peer-urls', peers, '--initial-cluster', `lab=${peers}`],
    ],
    // etcdctl would wait for the server by itself, but it retries only after a second. So it is asked as soon as the log says that clients are served.
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
  return Object.assign(service, { endpoint, ctl, all });
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
