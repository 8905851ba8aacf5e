// A compute host for system tests: a network namespace with etcd and the agent, and guests as namespaces behind taps. `close` removes all of it.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Subnet } from '@calico-openstack/datamodel';
import { dhcpAgentRights } from '@calico-openstack/datamodel';
import { type EtcdProcess, startEtcd } from '@calico-openstack/etcd/testing/etcd-process';
import { commandOf, processFacts } from '@calico-openstack/kernel/processes/processes';
import { endpointKey, endpointValue, hostName, keyOfSubnet, subnetValue, type TestPort } from './etcd-values.ts';
import { subnet } from './facts.ts';

const agentProgram = join(import.meta.dirname, '../bin/calico-dhcp-agent.ts');

export type GuestOptions = { readonly mac: string; readonly mtuBytes?: number; readonly addresses?: readonly string[] };

export interface Guest {
  readonly namespace: string;
  readonly tap: string;
  /** Runs a command in the guest. */
  run(...command: readonly string[]): string;
  close(): void;
}

export interface World {
  readonly namespace: string;
  readonly directory: string;
  readonly etcd: EtcdProcess;
  agent(): ChildProcess;
  /** Starts the agent. Resolves when it has read etcd, or with `etcdIsAway` when it has started. `options` are lines for [DEFAULT], `calico` for [calico]. `syslog` is a socket that it finds at /dev/log, `resolvConf` a file that it finds as /etc/resolv.conf. `heap` are options of Node. */
  startAgent(
    options?: string,
    more?: {
      readonly etcdIsAway?: boolean;
      readonly calico?: string;
      readonly syslog?: string;
      readonly resolvConf?: string;
      readonly heap?: readonly string[];
    },
  ): Promise<void>;
  /** Writes the agent's configuration. Returns the path of the file. */
  writeConfiguration(options?: string, calico?: string): string;
  /** Kills the agent with SIGKILL. */
  killAgent(): Promise<void>;
  putPort(port: TestPort): Promise<void>;
  deletePort(port: TestPort): Promise<void>;
  putSubnet(id: string, subnet: Subnet, networkId?: string): Promise<void>;
  deleteSubnet(id: string): Promise<void>;
  /** Creates a guest behind a tap, with the route that Felix would install. */
  guest(tap: string, options: GuestOptions): Guest;
  /** Writes a port to etcd, and creates its guest. */
  guestOf(port: TestPort, mtuBytes?: number): Promise<Guest>;
  hasLink(link: string): boolean;
  /** Dnsmasq's process id. */
  dnsmasqPid(): number;
  /** Whether the process in Dnsmasq's pid file runs and is none of `formers`. */
  runs(...formers: readonly number[]): boolean;
  /** The process ids of all Dnsmasqs on the host. */
  dnsmasqsRunning(): readonly number[];
  /** Runs a command on the host. */
  host(...command: readonly string[]): string;
  /** Resolves when the condition is true, which is checked often. Rejects after two minutes, or with what the last check has thrown. */
  until(what: string, condition: () => boolean | Promise<boolean>): Promise<void>;
  /** Resolves when the expectation holds, which is checked often: for what follows from an event a moment later. Rejects after two minutes with its last failure. */
  untilHolds(expectation: () => void): Promise<void>;
  /** Resolves when the agent has logged, since the last `clear`, that the port is served: its files and the host's addresses on its tap are as etcd had them. */
  served(port: TestPort): Promise<void>;
  /** The agent's log since the last `clear`. */
  log(): string;
  logged(text: string): boolean;
  /** Writes the subnets of net-a that most tests need. */
  putSubnets(): Promise<void>;
  /** Removes all ports, subnets and guests, and starts a new log when the agent has taken that in: no line in it is about a former port. */
  clear(): Promise<void>;
  close(): Promise<void>;
}

/** Kills all processes in a network namespace. A process that ends by itself meanwhile is ignored. */
export function endAllIn(namespace: string): void {
  for (const pid of pidsIn(namespace)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

const pidsIn = (namespace: string): readonly number[] =>
  execFileSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
    .split('\n')
    .filter(Boolean)
    .map(Number);

/** The text of a file; undefined when it does not exist. */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(String((error as NodeJS.ErrnoException).code))) return undefined;
    throw error;
  }
}

/** The beginning of a command line that runs the rest with another resolv.conf. */
const withResolvConf = (file: string): string[] => ['sh', '-c', `mount --bind ${file} /etc/resolv.conf && exec "$@"`, 'sh'];

/** The beginning of a command line that runs the rest with a /dev of its own, in which the socket is the syslog. `ip netns exec` gives it mounts of its own. */
const withSyslog = (socket: string): string[] => [
  'sh',
  '-c',
  `mount -t tmpfs none /mnt && cp -a /dev/null /dev/zero /dev/urandom /dev/random /mnt/ && touch /mnt/log && mount --bind ${socket} /mnt/log && mount --move /mnt /dev && exec "$@"`,
  'sh',
];

let worlds = 0;

/** How long a condition may take to come true: the machine that runs the test may be very busy. */
const patientMs = 120_000;

export async function openWorld(): Promise<World> {
  const name = `dhcp-${process.pid}-${worlds++}`;
  const inHost = ['ip', 'netns', 'exec', name];
  const run = (...[program = '', ...args]: readonly string[]): string => execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const directory = mkdtempSync(join(tmpdir(), 'dhcp-world-'));
  run('chmod', '755', directory);
  run('ip', 'netns', 'add', name);
  run('ip', '-n', name, 'link', 'set', 'lo', 'up');
  run(...inHost, 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1', 'net.ipv6.conf.default.accept_dad=0');
  const guests = new Map<string, Guest>();
  const etcd = await startEtcd({ prefix: inHost, rootPassword: 'root' });
  await etcd.addUser('agent', 'agent', dhcpAgentRights(undefined, hostName)); // the agent has only the rights that the documentation has operators give it
  const state = join(directory, 'state');
  const logFile = join(directory, 'agent.log');
  const pidFile = join(state, 'dhcp/dnsmasq-4/pid');
  let agent: ChildProcess | undefined;
  /** The taps of which the agent keeps a file. */
  const servedTaps = (): readonly string[] => ['dnsmasq-4/hosts', 'ipv6'].flatMap((name) => readdirSync(join(state, 'dhcp', name)));
  const says = (): string => (existsSync(logFile) ? readFileSync(logFile, 'utf8') : '');

  let clearedAt = 0;
  async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    const giveUpMs = performance.now() + patientMs;
    while (!(await condition())) {
      if (performance.now() > giveUpMs) throw new Error(`waited in vain until ${what}\n${says().slice(-6000)}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  const world: World = {
    namespace: name,
    directory,
    etcd,
    agent: () => agent!,
    async startAgent(options = '', { etcdIsAway = false, calico = '', syslog, resolvConf, heap = [] } = {}) {
      const config = world.writeConfiguration(options, calico);
      const before = says().length;
      const mounts = [...(syslog === undefined ? [] : withSyslog(syslog)), ...(resolvConf === undefined ? [] : withResolvConf(resolvConf))];
      const [program = '', ...args] = [...inHost, ...mounts, process.execPath, ...heap, agentProgram, '--config-file', config];
      agent = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
      let complaint = '';
      agent.stderr?.setEncoding('utf8').on('data', (text: string) => (complaint += text));
      await until('the agent has read etcd', () => {
        if (agent?.exitCode !== null) throw new Error(`the agent ended: ${complaint}`);
        return says()
          .slice(before)
          .includes(etcdIsAway ? 'took over' : 'etcd was read');
      });
    },
    writeConfiguration(options = '', calico = '') {
      const config = join(directory, 'neutron.conf');
      writeFileSync(
        config,
        `[DEFAULT]\nhost = ${hostName}\nstate_path = ${state}\nlog_file = ${logFile}\ndebug = true\ndnsmasq_base_log_dir = ${directory}\n${options}\n[calico]\netcd_host = 127.0.0.1\netcd_port = ${etcd.clientPort}\netcd_username = agent\netcd_password = agent\n${calico}\n`,
      );
      return config;
    },
    async killAgent() {
      const ending = agent;
      if (!ending || ending.exitCode !== null || ending.signalCode !== null) return;
      const ended = new Promise((resolve) => ending.once('exit', resolve));
      ending.kill('SIGKILL');
      await ended;
    },
    async putPort(port) {
      await etcd.etcdctl('put', endpointKey(port), endpointValue(port));
    },
    async deletePort(port) {
      await etcd.etcdctl('del', endpointKey(port));
    },
    async putSubnet(id, subnet, networkId = subnet.networkId) {
      await etcd.etcdctl('put', keyOfSubnet(id), subnetValue(networkId, subnet));
    },
    async deleteSubnet(id) {
      await etcd.etcdctl('del', keyOfSubnet(id));
    },
    async guestOf(port, mtuBytes = 1500) {
      await world.putPort(port);
      return world.guest(port.tap, { mac: port.mac, mtuBytes, addresses: port.addresses });
    },
    guest(tap, { mac, mtuBytes = 1500, addresses = [] }) {
      guests.get(tap)?.close();
      const namespace = `${name}-${tap.slice(3)}`;
      const inGuest = ['ip', 'netns', 'exec', namespace];
      run('ip', 'netns', 'add', namespace);
      const guest: Guest = {
        namespace,
        tap,
        run: (...command) => run(...inGuest, ...command),
        close() {
          guests.delete(tap);
          endAllIn(namespace);
          if (world.hasLink(tap)) run('ip', '-n', name, 'link', 'del', tap); // without this, the tap would disappear only some time after the namespace
          run('ip', 'netns', 'del', namespace);
        },
      };
      guests.set(tap, guest);
      run('ip', '-n', name, 'link', 'add', tap, 'mtu', String(mtuBytes), 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
      run('ip', '-n', namespace, 'link', 'set', 'eth0', 'address', mac);
      guest.run('sysctl', '-qw', 'net.ipv6.conf.eth0.accept_dad=0');
      run('ip', '-n', namespace, 'link', 'set', 'lo', 'up');
      run('ip', '-n', name, 'link', 'set', tap, 'up');
      run('ip', '-n', namespace, 'link', 'set', 'eth0', 'up');
      for (const address of addresses) {
        if (address.includes(':')) run('ip', '-n', name, '-6', 'route', 'replace', `${address}/128`, 'dev', tap);
        else run('ip', '-n', name, 'route', 'replace', `${address}/32`, 'dev', tap, 'scope', 'link');
      }
      return guest;
    },
    hasLink: (link) =>
      run('ip', '-n', name, '-br', 'link')
        .split('\n')
        .some((line) => line.startsWith(`${link}@`)),
    dnsmasqPid: () => Number(readFileSync(pidFile, 'utf8')),
    runs(...formers) {
      // At its start Dnsmasq removes the file, creates it again, and fills it later.
      const pid = Number(readIfThere(pidFile)?.trim() || Number.NaN);
      return !Number.isNaN(pid) && !formers.includes(pid) && processFacts(pid) !== undefined;
    },
    dnsmasqsRunning: () => pidsIn(name).filter((pid) => commandOf(pid)[0]?.startsWith('dnsmasq')),
    host: (...command) => run(...inHost, ...command),
    until,
    async untilHolds(expectation) {
      let failure: unknown;
      const holds = (): boolean => {
        try {
          expectation();
          return true;
        } catch (error) {
          failure = error;
          return false;
        }
      };
      await until('an expectation holds', holds).catch((error: unknown) => {
        throw failure ?? error;
      });
    },
    served: ({ tap }) => until(`the port on ${tap} is served`, () => world.logged(`port served tap=${tap} `)),
    log: () => says().slice(clearedAt),
    logged: (text) => world.log().includes(text),
    async putSubnets() {
      await world.putSubnet(
        'a4',
        subnet('10.65.0.0/24', { gatewayIp: '10.65.0.1', dnsServers: ['10.1.1.1', '10.1.1.2'], routes: { '10.99.0.0/16': '10.65.0.7' } }),
      );
      await world.putSubnet('a6', subnet('2001:db8:a::/64', { gatewayIp: '2001:db8:a::1', dnsServers: ['2001:db8::53'] }));
    },
    async clear() {
      await etcd.etcdctl('del', '--prefix', '/calico/');
      await until('the agent serves no port', () => servedTaps().length === 0);
      for (const guest of [...guests.values()]) guest.close();
      clearedAt = says().length;
    },
    async close() {
      await world.killAgent();
      for (const guest of [...guests.values()]) guest.close();
      await etcd.stop();
      endAllIn(name);
      run('ip', 'netns', 'del', name);
      rmSync(directory, { recursive: true, force: true });
    },
  };
  return world;
}
