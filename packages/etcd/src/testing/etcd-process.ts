// A real etcd for system tests and labs, with its own directory and ports. It can be killed and restarted.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import type { TestCertificates } from './certificates.ts';
import { freePorts } from './free-ports.ts';

const run = promisify(execFile);

/** How to start etcd. */
export type EtcdProcessOptions = {
  /** Put in front of every command, to run it elsewhere: `['ip', 'netns', 'exec', NAME]`. */
  readonly prefix?: readonly string[];
  /** The address that etcd listens on. Default: 127.0.0.1. */
  readonly host?: string;
  /** Certificates: the server presents one, and clients must. */
  readonly tls?: TestCertificates;
  /** The first member's client port. Default: a free one. */
  readonly clientPort?: number;
  /** Switches authentication on, with this password for `root`. */
  readonly rootPassword?: string;
  /** Further options of etcd. */
  readonly options?: readonly string[];
};

/** One permission of a role, on a key or on all keys with a prefix. */
export type Grant = { readonly access: 'read' | 'write' | 'readwrite' } & ({ readonly key: string } | { readonly prefix: string });

/** A running member. */
export interface EtcdProcess {
  readonly endpoint: string;
  readonly clientPort: number;
  readonly pid: number | undefined;
  /** Kills etcd with SIGKILL, as a crash would end it. */
  kill(): Promise<void>;
  /** Restarts etcd at the same place, with its data; resolves when it serves clients. */
  restart(): Promise<void>;
  /** Deletes its data, so that the next restart is an empty etcd at the same place. Only while it is not running. */
  forget(): void;
  /** Copies its data, and puts that copy back. Only while it is not running. */
  backUp(): void;
  goBack(): void;
  /** Runs etcdctl against it (as the user root where there are users) and returns what it printed. */
  etcdctl(...args: readonly string[]): Promise<string>;
  /** Creates the user `root` and enables authentication, as at the start; only with `rootPassword`, after `forget`. */
  enableUsers(): Promise<void>;
  /** Creates a user with this password and these permissions; only with `rootPassword`. */
  addUser(name: string, password: string, grants: readonly Grant[]): Promise<void>;
  /** Grants these permissions too to a user of `addUser`. */
  grant(name: string, grants: readonly Grant[]): Promise<void>;
  /** Resolves when etcd has logged that many further lines that match. */
  logged(pattern: RegExp, times?: number): Promise<void>;
  /** Stops etcd and removes its directory. */
  stop(): Promise<void>;
}

type Member = { readonly name: string; readonly clientPort: number; readonly peerPort: number };

/** Starts a single etcd; resolves when it serves clients. */
export async function startEtcd(options: EtcdProcessOptions = {}): Promise<EtcdProcess> {
  const [only] = await startEtcdCluster(1, options);
  return only!;
}

/** Starts a cluster of `size` members; resolves when all of them serve clients. */
export async function startEtcdCluster(size: number, options: EtcdProcessOptions = {}): Promise<readonly EtcdProcess[]> {
  const ports = await freePorts(size * 2);
  const members = Array.from({ length: size }, (_, index) => ({
    name: `m${index}`,
    clientPort: (index === 0 ? options.clientPort : undefined) ?? ports[2 * index]!,
    peerPort: ports[2 * index + 1]!,
  }));
  const processes = members.map((member) => etcdProcess(member, members, options));
  try {
    await Promise.all(processes.map((each) => each.restart()));
    if (options.rootPassword !== undefined) await processes[0]!.enableUsers();
  } catch (error) {
    await Promise.all(processes.map((each) => each.stop()));
    throw error;
  }
  return processes;
}

function etcdProcess(member: Member, members: readonly Member[], options: EtcdProcessOptions): EtcdProcess {
  const { prefix = [], host = '127.0.0.1', tls, rootPassword, options: further = [] } = options;
  const directory = mkdtempSync(join(tmpdir(), 'etcd-test-'));
  const dataDirectory = join(directory, 'data');
  const endpoint = `${tls ? 'https' : 'http'}://${host}:${member.clientPort}`;
  const peerUrl = ({ peerPort }: Member): string => `http://${host}:${peerPort}`;
  const listeners = new Set<(line: string) => void>();
  const onLine = (line: string): void => {
    for (const listen of listeners) listen(line);
  };
  let child: ChildProcess | undefined;
  let enabled = false;

  const args = (): string[] => [
    ...['--name', member.name, '--data-dir', dataDirectory, '--unsafe-no-fsync', '--logger', 'zap', '--log-level', 'info'],
    ...[
      '--listen-client-urls',
      endpoint,
      '--advertise-client-urls',
      endpoint,
      '--listen-peer-urls',
      peerUrl(member),
      '--initial-advertise-peer-urls',
      peerUrl(member),
    ],
    ...['--initial-cluster', members.map((each) => `${each.name}=${peerUrl(each)}`).join(',')],
    ...(members.length === 1 ? ['--heartbeat-interval', '10', '--election-timeout', '100'] : []), // a single member elects itself quickly
    ...(tls ? ['--client-cert-auth', '--trusted-ca-file', tls.caFile, '--cert-file', tls.serverCertFile, '--key-file', tls.serverKeyFile] : []),
    ...(rootPassword === undefined ? [] : ['--bcrypt-cost', '4']), // cheap hashes: test passwords are not secret
    ...further,
  ];

  const onExit = (): void => {
    child?.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  };
  process.once('exit', onExit);

  function throwIfRunning(): void {
    if (child) throw new Error('etcd is running: kill it first');
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    const ending = child;
    child = undefined;
    if (!ending || ending.exitCode !== null || ending.signalCode !== null) return;
    await new Promise((resolve) => {
      ending.once('exit', resolve);
      ending.kill(signal);
    });
  }

  async function etcdctl(...command: readonly string[]): Promise<string> {
    const [program = '', ...rest] = [...prefix, 'etcdctl', '--endpoints', endpoint, '--dial-timeout', '60s', '--command-timeout', '60s']; // for busy machines
    const certificates = tls ? ['--cacert', tls.caFile, '--cert', tls.clientCertFile, '--key', tls.clientKeyFile] : [];
    const user = enabled && rootPassword !== undefined ? ['--user', `root:${rootPassword}`] : [];
    const { stdout } = await run(program, [...rest, ...certificates, ...user, ...command], { env: { ...process.env, ETCDCTL_API: '3' } });
    if (command.join(' ') === 'auth enable') enabled = true;
    return stdout;
  }

  async function grant(name: string, grants: readonly Grant[]): Promise<void> {
    for (const each of grants) await etcdctl('role', 'grant-permission', name, each.access, ...('key' in each ? [each.key] : [each.prefix, '--prefix']));
  }

  return {
    endpoint,
    clientPort: member.clientPort,
    get pid() {
      return child?.pid;
    },
    kill: () => end('SIGKILL'),
    async restart() {
      await end('SIGKILL');
      child = await serving(['setpriv', '--pdeathsig', 'KILL', ...prefix, 'etcd', ...args()], onLine); // etcd ends with the test, also when that is killed
    },
    forget() {
      throwIfRunning();
      rmSync(dataDirectory, { recursive: true, force: true });
      enabled = false;
    },
    backUp() {
      throwIfRunning();
      cpSync(dataDirectory, join(directory, 'backup'), { recursive: true });
    },
    goBack() {
      throwIfRunning();
      rmSync(dataDirectory, { recursive: true });
      cpSync(join(directory, 'backup'), dataDirectory, { recursive: true });
    },
    etcdctl,
    grant,
    async enableUsers() {
      await etcdctl('user', 'add', `root:${rootPassword}`);
      await etcdctl('user', 'grant-role', 'root', 'root');
      await etcdctl('auth', 'enable');
    },
    async addUser(name, password, grants) {
      await etcdctl('role', 'add', name);
      await grant(name, grants);
      await etcdctl('user', 'add', `${name}:${password}`);
      await etcdctl('user', 'grant-role', name, name);
    },
    logged: (pattern, times = 1) =>
      new Promise((resolve) => {
        let left = times;
        const listen = (line: string): void => {
          if (pattern.test(line)) left -= 1;
          if (left > 0) return;
          listeners.delete(listen);
          resolve();
        };
        listeners.add(listen);
      }),
    async stop() {
      process.removeListener('exit', onExit);
      await end('SIGKILL');
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Starts etcd; resolves when it logs that it serves clients, which it does once there is a leader. */
function serving([program = '', ...args]: readonly string[], onLine: (line: string) => void): Promise<ChildProcess> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  return new Promise((resolve, reject) => {
    const said: string[] = [];
    const onExit = (code: number | null, signal: string | null): void =>
      reject(new Error(`etcd ended with ${code ?? signal} before it served:\n${said.join('\n')}`));
    child.once('error', reject);
    child.once('exit', onExit);
    createInterface({ input: child.stderr }).on('line', (line) => {
      onLine(line);
      if (said.push(line) > 10) said.shift();
      if (!/serving client traffic|ready to serve client requests/.test(line)) return; // the first wording is etcd 3.4's, the second that of later versions
      child.off('exit', onExit);
      resolve(child);
    });
  });
}
