// BGP speakers that are not BIRD, each in a network namespace: FRR (zebra, bgpd, bfdd), which programs what it learns, and GoBGP, which does not. As routers and as guests of this cloud.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { IpFamily } from '@calico-openstack/addresses';
import { until } from './world.ts';

const run = promisify(execFile);

export type ForeignNeighbor = { readonly address: string; readonly asNumber: number; readonly password?: string };

export type ForeignOptions = {
  readonly namespace: string;
  /** The directory for GoBGP's files, which is created. */
  readonly directory: string;
  readonly asNumber: number;
  readonly routerId: string;
  readonly neighbors: readonly ForeignNeighbor[];
  /** The hold time in seconds. The default is 9. */
  readonly holdSeconds?: number;
};

export type Announcement = { readonly nextHop?: string; readonly community?: string; readonly localPref?: number };

export type Foreign = {
  readonly name: string;
  /** Resolves when the session with the neighbour is established. */
  established(neighbor: string): Promise<unknown>;
  isEstablished(neighbor: string): Promise<boolean>;
  announce(prefix: string, announcement?: Announcement): Promise<unknown>;
  withdraw(prefix: string): Promise<unknown>;
  /** The neighbours' announcements of a prefix, as the speaker shows them; undefined when there is none. */
  learnt(prefix: string): Promise<string | undefined>;
  /** Stops the speaker with SIGSTOP: it keeps its connections, and sends nothing more. */
  freeze(): void;
  /** Kills the speaker with SIGKILL. */
  kill(): Promise<void>;
};

const familyOf = (prefix: string): IpFamily => (prefix.includes(':') ? 6 : 4);

/** Starts a program that ends with this process at the latest. */
function launch(namespace: string, log: string, ...command: readonly string[]): Pick<Foreign, 'freeze' | 'kill'> {
  const child: ChildProcess = spawn('setpriv', ['--pdeathsig', 'KILL', 'sh', '-c', `exec ip netns exec "$0" "$@" >>${log} 2>&1`, namespace, ...command], {
    stdio: 'ignore',
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return {
    freeze: () => void child.kill('SIGSTOP'),
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Starts FRR without policies, so that it accepts and announces every route. */
export async function startFrr({ namespace, asNumber, routerId, neighbors, holdSeconds = 9 }: ForeignOptions, more: readonly string[] = []): Promise<Foreign> {
  // FRR's daemons run as the user frr, which needs access to the directory.
  const directory = mkdtempSync(join(tmpdir(), 'frr-'));
  const each = (line: (neighbor: ForeignNeighbor) => string): string => neighbors.map(line).join('\n');
  const family = (of: IpFamily): string => ` address-family ipv${of} unicast
${each(({ address }) => (familyOf(address) === of ? `  neighbor ${address} activate\n  neighbor ${address} soft-reconfiguration inbound` : ''))}
 exit-address-family`;
  writeFileSync(join(directory, 'zebra.conf'), 'hostname zebra\nip nht resolve-via-default\nipv6 nht resolve-via-default\n');
  writeFileSync(
    join(directory, 'bgpd.conf'),
    `hostname bgpd
router bgp ${asNumber}
 bgp router-id ${routerId}
 no bgp default ipv4-unicast
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
${each(
  ({ address, asNumber: remote, password }) => ` neighbor ${address} remote-as ${remote}
 neighbor ${address} timers ${holdSeconds / 3} ${holdSeconds}
 neighbor ${address} timers connect 1
${remote === asNumber ? '' : ` neighbor ${address} ebgp-multihop 64`}
${password === undefined ? '' : ` neighbor ${address} password ${password}`}`,
)}
${more.map((line) => ` ${line}`).join('\n')}
${family(4)}
${family(6)}
`,
  );
  const daemon = (name: string, ...options: readonly string[]) =>
    launch(
      namespace,
      join(directory, `${name}.log`),
      `/usr/lib/frr/${name}`,
      ...[
        '-u',
        'frr',
        '-g',
        'frr',
        '-f',
        join(directory, `${name}.conf`),
        '-i',
        join(directory, `${name}.pid`),
        '-z',
        join(directory, 'zserv.api'),
        '--vty_socket',
        directory,
      ],
      ...['--log', 'stdout', ...options],
    );
  writeFileSync(join(directory, 'bfdd.conf'), 'hostname bfdd\n');
  await run('chown', ['-R', 'frr:frr', directory]);
  const daemons = [daemon('zebra'), daemon('bfdd', '--bfdctl', join(directory, 'bfdd.sock'))];
  const vty = async (...commands: readonly string[]): Promise<string> =>
    (await run('vtysh', ['--vty_socket', directory, ...commands.flatMap((command) => ['-c', command])])).stdout;
  await until('zebra', async () => ((await vty('show version')) ? true : undefined));
  daemons.push(daemon('bgpd', '-A', '127.0.0.1'));
  await until('bgpd', async () => ((await vty('show bgp summary')) ? true : undefined));
  const inBgp = (prefix: string, ...commands: readonly string[]): Promise<string> =>
    vty('configure terminal', ...commands.slice(0, -1), `router bgp ${asNumber}`, `address-family ipv${familyOf(prefix)} unicast`, commands.at(-1)!);
  const isEstablished = async (neighbor: string): Promise<boolean> => {
    const shown = JSON.parse(await vty(`show bgp ipv${familyOf(neighbor)} unicast summary json`)) as { peers?: Record<string, { state: string }> };
    return shown.peers?.[neighbor]?.state === 'Established';
  };
  return {
    name: 'FRR',
    isEstablished,
    established: (neighbor) => until(`FRR's session with ${neighbor}`, async () => ((await isEstablished(neighbor)) ? true : undefined)),
    announce(prefix, { nextHop, community, localPref } = {}) {
      const ip = familyOf(prefix) === 4 ? 'ip' : 'ipv6';
      const settings = [
        ...(nextHop === undefined ? [] : [`set ${ip} next-hop ${familyOf(prefix) === 4 ? '' : 'global '}${nextHop}`]),
        ...(community === undefined ? [] : [`set community ${community}`]),
        ...(localPref === undefined ? [] : [`set local-preference ${localPref}`]),
      ];
      if (settings.length === 0) return inBgp(prefix, `network ${prefix}`);
      const map = `map-${prefix.replaceAll(/[^0-9a-f]/g, '-')}`;
      return inBgp(prefix, `route-map ${map} permit 10`, ...settings, 'exit', `network ${prefix} route-map ${map}`);
    },
    withdraw: (prefix) => inBgp(prefix, `no network ${prefix}`),
    async learnt(prefix) {
      const shown = await vty(`show bgp ipv${familyOf(prefix)} unicast ${prefix} json`);
      return (JSON.parse(shown) as { paths?: unknown }).paths === undefined ? undefined : shown;
    },
    freeze() {
      for (const { freeze } of daemons) freeze();
    },
    async kill() {
      for (const { kill } of daemons) await kill();
      rmSync(directory, { recursive: true });
    },
  };
}

/** Starts GoBGP. Without a next hop, it announces routes with its own address of the session. */
export async function startGobgp({ namespace, directory, asNumber, routerId, neighbors, holdSeconds = 9 }: ForeignOptions): Promise<Foreign> {
  mkdirSync(directory, { recursive: true });
  const file = join(directory, 'gobgpd.toml');
  writeFileSync(
    file,
    `[global.config]
as = ${asNumber}
router-id = "${routerId}"
${neighbors
  .map(
    ({ address, asNumber: remote, password }) => `[[neighbors]]
[neighbors.config]
neighbor-address = "${address}"
peer-as = ${remote}
${password === undefined ? '' : `auth-password = "${password}"`}
[neighbors.timers.config]
hold-time = ${holdSeconds}
keepalive-interval = ${holdSeconds / 3}
connect-retry = 1
idle-hold-time-after-reset = 1
[neighbors.ebgp-multihop.config]
enabled = ${remote !== asNumber}
multihop-ttl = 64
[neighbors.graceful-restart.config]
enabled = true
restart-time = 60
[[neighbors.afi-safis]]
[neighbors.afi-safis.config]
afi-safi-name = "ipv${familyOf(address)}-unicast"
[neighbors.afi-safis.mp-graceful-restart.config]
enabled = true
`,
  )
  .join('')}`,
  );
  const process = launch(namespace, join(directory, 'gobgpd.log'), 'gobgpd', '-f', file, '--api-hosts', '127.0.0.1:50051', '--pprof-disable');
  const gobgp = async (...args: readonly string[]): Promise<string> => (await run('ip', ['netns', 'exec', namespace, 'gobgp', ...args])).stdout;
  await until('GoBGP', async () => ((await gobgp('global')) ? true : undefined));
  const isEstablished = async (neighbor: string): Promise<boolean> => /BGP state = ESTABLISHED/i.test(await gobgp('neighbor', neighbor));
  const route = (verb: 'add' | 'del', prefix: string, { nextHop, community, localPref }: Announcement = {}): Promise<string> =>
    gobgp(
      ...['global', 'rib', verb, '-a', `ipv${familyOf(prefix)}`, prefix],
      ...(nextHop === undefined ? [] : ['nexthop', nextHop]),
      ...(community === undefined ? [] : ['community', community]),
      ...(localPref === undefined ? [] : ['local-pref', String(localPref)]),
    );
  return {
    name: 'GoBGP',
    isEstablished,
    established: (neighbor) => until(`GoBGP's session with ${neighbor}`, async () => ((await isEstablished(neighbor)) ? true : undefined)),
    announce: (prefix, announcement) => route('add', prefix, announcement),
    withdraw: (prefix) => route('del', prefix),
    async learnt(prefix) {
      const shown = await gobgp('global', 'rib', '-a', `ipv${familyOf(prefix)}`, prefix).catch(() => '');
      return shown.includes(prefix) ? shown : undefined;
    },
    freeze: process.freeze,
    kill: process.kill,
  };
}
