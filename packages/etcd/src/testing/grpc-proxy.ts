// etcd's own grpc-proxy, which large clouds put between their hosts and etcd.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePorts } from './free-ports.ts';

/** How to start the proxy. */
export type GrpcProxyOptions = {
  /** Put in front of its command, to run it elsewhere: `['ip', 'netns', 'exec', NAME]`. */
  readonly prefix?: readonly string[];
  /** The address that it listens on. Default: 127.0.0.1. */
  readonly host?: string;
};

/** A running proxy. */
export interface GrpcProxy {
  readonly endpoint: string;
  readonly port: number;
  readonly pid: number | undefined;
  /** Kills the proxy with SIGKILL, as a crash would end it. */
  kill(): Promise<void>;
  /** Restarts it at the same address; resolves when it listens. */
  restart(): Promise<void>;
  /** Stops it and removes its directory. */
  stop(): Promise<void>;
}

/** Starts a proxy to these endpoints (`host:port`); resolves when it listens. */
export async function startGrpcProxy(endpoints: readonly string[], options: GrpcProxyOptions = {}): Promise<GrpcProxy> {
  const { prefix = [], host = '127.0.0.1' } = options;
  const [port] = (await freePorts(1)) as [number];
  const directory = mkdtempSync(join(tmpdir(), 'etcd-proxy-'));
  const command = [...prefix, 'etcd', 'grpc-proxy', 'start', '--endpoints', endpoints.join(','), '--listen-addr', `${host}:${port}`];
  let child: ChildProcess | undefined;

  async function kill(): Promise<void> {
    const ending = child;
    child = undefined;
    if (!ending || ending.exitCode !== null || ending.signalCode !== null) return;
    await new Promise((resolve) => {
      ending.once('exit', resolve);
      ending.kill('SIGKILL');
    });
  }
  const onExit = (): void => {
    child?.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  };
  process.once('exit', onExit);

  const proxy: GrpcProxy = {
    endpoint: `http://${host}:${port}`,
    port,
    get pid() {
      return child?.pid;
    },
    kill,
    async restart() {
      await kill();
      child = await listening(['setpriv', '--pdeathsig', 'KILL', ...command, '--data-dir', directory]);
    },
    async stop() {
      process.removeListener('exit', onExit);
      await kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  await proxy.restart();
  return proxy;
}

function listening([program = '', ...args]: readonly string[]): Promise<ChildProcess> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  return new Promise((resolve, reject) => {
    const said: string[] = [];
    const onExit = (code: number | null, signal: string | null): void =>
      reject(new Error(`the grpc-proxy ended with ${code ?? signal} before it listened:\n${said.join('\n')}`));
    child.once('error', reject);
    child.once('exit', onExit);
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (said.push(line) > 10) said.shift();
      if (!/listening for/i.test(line)) return;
      child.off('exit', onExit);
      resolve(child);
    });
  });
}
