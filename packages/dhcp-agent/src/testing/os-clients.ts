// The DHCP clients that operating systems start: dhcpcd and systemd-networkd, in a guest. Each has its files in a directory of its own, mounted where it expects them.
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Guest, readIfThere } from './world.ts';

/** Variables of an event: dhcpcd's (`reason`, `new_ip_address` …), or networkd's of a lease (`ADDRESS`, `ROUTER` …). */
export type Variables = Readonly<Record<string, string>>;

const variablesIn = (text: string): Variables =>
  Object.fromEntries(text.split('\n').flatMap((line) => (line.includes('=') ? [[line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]] : [])));

/** Runs a program in the guest, as the process that `spawn` returns, with directories mounted over others. */
function runIn({ namespace }: Guest, mounts: Readonly<Record<string, string>>, command: readonly string[]): ChildProcess {
  const steps = Object.entries(mounts).map(([place, directory]) => `mkdir -p ${place} && mount --bind ${directory} ${place}`);
  // networkd waits for udev to announce a link unless /sys cannot be written.
  const script = [...steps, 'mount -o remount,ro /sys', 'exec "$@"'].join(' && ');
  return spawn('ip', ['netns', 'exec', namespace, 'sh', '-c', script, 'sh', ...command], { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Sends a signal, again each second until `done` resolves: dhcpcd 9.4 loses a signal that reaches it while it waits for the end of its hook. */
async function signalUntil<T>(child: ChildProcess, signal: NodeJS.Signals, done: Promise<T>): Promise<T> {
  child.kill(signal);
  const again = setInterval(() => child.kill(signal), 1000);
  try {
    return await done;
  } finally {
    clearInterval(again);
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  await signalUntil(child, signal, new Promise((resolve) => child.once('exit', resolve)));
}

/** How dhcpcd is started: for one family or both, whether it asks by ARP if its address is taken, which takes seconds, and with more arguments. */
export type DhcpcdOptions = { readonly family?: 4 | 6; readonly probes?: boolean; readonly arguments?: readonly string[] };

/** A guest's dhcpcd. What it remembers outlasts a stop. */
export interface Dhcpcd {
  start(options?: DhcpcdOptions): void;
  /** Resolves with the next event for one of these reasons: BOUND, REBOOT, RENEW, REBIND, NAK, BOUND6, INFORM … Rejects after two minutes. */
  next(...reasons: readonly string[]): Promise<Variables>;
  /** Makes it renew its lease. Resolves with the event for this reason: RENEW or RENEW6. */
  renew(reason: string): Promise<Variables>;
  /** Gives the addresses back; the client ends. */
  release(): Promise<void>;
  /** Ends the client, which keeps its lease for its next start. */
  stop(): Promise<void>;
  /** Takes over what another dhcpcd remembers of its IPv4 lease. */
  rememberLeaseOf(other: Dhcpcd): void;
  readonly leaseFile: string;
  close(): Promise<void>;
}

/** dhcpcd in this guest, not started. */
export function openDhcpcd(guest: Guest): Dhcpcd {
  const directory = mkdtempSync(join(tmpdir(), 'dhcpcd-'));
  chmodSync(directory, 0o755);
  const [state, run, hook, events, configuration] = ['state', 'run', 'hook', 'events', 'conf'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
    string,
    string,
  ];
  for (const one of [state, run]) mkdirSync(one);
  writeFileSync(hook, `#!/bin/sh\n{ env; echo; } > ${events}.$$ && mv ${events}.$$ ${events}-$(date +%s%N)\n`, { mode: 0o755 });
  let child: ChildProcess | undefined;
  let lastTaken = '';
  let said = '';
  const client: Dhcpcd = {
    leaseFile: join(state, 'eth0.lease'),
    start({ family, probes = false, arguments: more = [] } = {}) {
      // A busy server may answer a request for the former lease late.
      const lines = [
        'duid',
        'ia_na',
        'noipv6rs',
        'nodelay',
        'reboot 60',
        'option domain_name_servers, classless_static_routes, domain_name',
        ...(probes ? [] : ['noarp']),
      ];
      writeFileSync(configuration, `${lines.join('\n')}\n`);
      const words = ['-B', ...(family === undefined ? [] : [`-${family}`]), '-f', configuration, '-c', hook, ...more, 'eth0'];
      child = runIn(guest, { '/var/lib/dhcpcd': state, '/run/dhcpcd': run }, ['dhcpcd', ...words]);
      child.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
    },
    async next(...reasons) {
      const giveUpMs = performance.now() + 120_000;
      while (performance.now() < giveUpMs) {
        const fresh = readdirSync(directory).filter((name) => name.startsWith('events-') && name > lastTaken);
        for (const name of fresh.sort()) {
          lastTaken = name;
          const variables = variablesIn(readIfThere(join(directory, name)) ?? '');
          if (reasons.includes(variables['reason'] ?? '')) return variables;
        }
        await sleep(10);
      }
      throw new Error(`dhcpcd did not report ${reasons.join(' or ')}\n${said}`);
    },
    renew: (reason) => signalUntil(child!, 'SIGUSR1', client.next(reason)),
    release: async () => void (child && (await end(child, 'SIGALRM'))),
    stop: async () => void (child && (await end(child, 'SIGTERM'))),
    rememberLeaseOf: ({ leaseFile }) => copyFileSync(leaseFile, client.leaseFile),
    async close() {
      if (child) await end(child, 'SIGKILL');
      rmSync(directory, { recursive: true, force: true });
    },
  };
  return client;
}

/** A running systemd-networkd. */
export interface Networkd {
  /** What it has logged, with details. */
  log(): string;
  /** Resolves with the variables of its DHCPv4 lease when it has the address. */
  lease(): Promise<Variables>;
  /** Gives the leases back, and ends. */
  stop(): Promise<void>;
}

/** Starts systemd-networkd with DHCPv4 and DHCPv6. It needs no systemd as process 1. */
export function startNetworkd(guest: Guest): Networkd {
  const directory = mkdtempSync(join(tmpdir(), 'networkd-'));
  chmodSync(directory, 0o755);
  const [configuration, state] = [join(directory, 'etc'), join(directory, 'state')];
  mkdirSync(configuration);
  mkdirSync(state, { mode: 0o777 });
  chmodSync(state, 0o777); // networkd gives up root's rights
  const sections = {
    Match: 'Name=eth0',
    Network: 'DHCP=yes\nIPv6AcceptRA=no\nLinkLocalAddressing=ipv6',
    DHCPv6: 'WithoutRA=solicit',
  };
  const lines = Object.entries(sections).map(([name, text]) => `[${name}]\n${text}\n`);
  writeFileSync(join(configuration, '10-eth0.network'), lines.join(''));
  const child = runIn(guest, { '/etc/systemd/network': configuration, '/run/systemd/netif': state }, [
    'env',
    'SYSTEMD_LOG_LEVEL=debug',
    'SYSTEMD_LOG_TARGET=console',
    '/lib/systemd/systemd-networkd',
  ]);
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
  return {
    log: () => said,
    async lease() {
      const giveUpMs = performance.now() + 120_000;
      while (performance.now() < giveUpMs) {
        const leases = join(state, 'leases');
        const [name] = existsSync(leases) ? readdirSync(leases) : [];
        const variables = variablesIn((name && readIfThere(join(leases, name))) || '');
        if (variables['ADDRESS']) return variables;
        await sleep(10);
      }
      throw new Error('systemd-networkd has no lease');
    },
    async stop() {
      await end(child, 'SIGTERM');
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
