// Real DHCP clients in a guest.
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Guest, readIfThere } from './world.ts';

/** The variables that busybox's udhcpc passes to its script: `ip`, `mask`, `router`, `dns`, `mtu`, `hostname`, `domain`, `staticroutes`, `lease`, `serverid` … and `event`. */
export type Udhcpc = Readonly<Record<string, string>>;

/** A running DHCPv4 client. */
export interface LeaseHolder {
  /** Resolves with the next event that is a lease, a renewal, or the end of attempts. */
  next(): Promise<Udhcpc>;
  /** Makes the client renew now, by unicast to the server. */
  renew(): void;
  /** Makes the client release its address. Resolves when it has none any more. It requests one again when it is made to renew. */
  release(): Promise<void>;
  stop(): void;
}

const requested = ['tftp', 'bootfile', 'ntpsrv', '224', 'subnet', 'router', 'dns', 'hostname', 'domain', 'mtu', 'broadcast', '121', '249', 'serverid', 'lease'];

/** Starts udhcpc, which configures its interface and keeps running. It gives up after `attempts` seconds without an answer: by default late, because the agent may be slow on a busy machine. */
export function udhcpc(guest: Guest, { attempts = 60, arguments: more = [] as readonly string[] } = {}): LeaseHolder {
  const directory = mkdtempSync(join(tmpdir(), 'udhcpc-'));
  const script = join(directory, 'script');
  writeFileSync(
    script,
    `#!/bin/sh
case $1 in
bound|renew) /sbin/ip addr replace $ip/$mask dev $interface; [ -n "$router" ] && /sbin/ip route replace default via $router dev $interface;;
esac
{ echo "event=$1"; env | grep -E '^(ip|mask|subnet|router|dns|hostname|domain|mtu|broadcast|staticroutes|msstaticroutes|serverid|lease|tftp|boot_file|bootfile|siaddr|ntpsrv|opt224)='; echo; }
`,
  );
  chmodSync(script, 0o755);
  const child: ChildProcess = spawn(
    'ip',
    [
      'netns',
      'exec',
      guest.namespace,
      'busybox',
      'udhcpc',
      '-i',
      'eth0',
      '-f',
      '-n',
      '-t',
      String(attempts),
      '-T',
      '1',
      '-A',
      '1',
      '-s',
      script,
      ...requested.flatMap((option) => ['-O', option]),
      ...more,
    ],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const events: Udhcpc[] = [];
  const waiting: ((event: Udhcpc) => void)[] = [];
  const releasing: (() => void)[] = [];
  const happen = (event: Udhcpc): void => {
    const taker = waiting.shift();
    if (taker) taker(event);
    else events.push(event);
  };
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
    for (let cut = text.indexOf('\n\n'); cut >= 0; cut = text.indexOf('\n\n')) {
      const event = Object.fromEntries(
        text
          .slice(0, cut)
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
      );
      text = text.slice(cut + 2);
      if (event['event'] === 'deconfig') releasing.shift()?.();
      else happen(event);
    }
  });
  child.once('exit', () => {
    rmSync(directory, { recursive: true, force: true });
    happen({ event: 'exit' });
  });
  return {
    next: () =>
      new Promise((resolve) => {
        const event = events.shift();
        if (event) resolve(event);
        else waiting.push(resolve);
      }),
    renew: () => child.kill('SIGUSR1'),
    // Of two signals that a process has not taken yet, the kernel delivers the one with the lower number first, and the renewal's is lower.
    release: () =>
      new Promise((resolve) => {
        releasing.push(resolve);
        child.kill('SIGUSR2');
      }),
    stop: () => child.kill('SIGKILL'),
  };
}

/** Runs a client until its first lease or `leasefail`, and ends it. */
export async function leaseOnce(guest: Guest, options?: Parameters<typeof udhcpc>[1]): Promise<Udhcpc> {
  const client = udhcpc(guest, options);
  try {
    return await client.next();
  } finally {
    client.stop();
  }
}

/** What dhclient remembers of a lease between its runs. */
export type RememberedLease = { readonly address: string; readonly server?: string };

/**
 * Runs dhclient for DHCPv4. Resolves with the variables that it passes to its script with its lease: `reason` (BOUND, REBOOT), `new_ip_address`, `new_routers` …; undefined when it gives up.
 * @param remembered the lease that it had before, which it requests again (INIT-REBOOT)
 * @param release whether it gives the remembered lease back instead, which is not answered
 */
export async function dhclient4(
  guest: Guest,
  { remembered, release = false }: { readonly remembered?: RememberedLease; readonly release?: boolean } = {},
): Promise<Udhcpc | undefined> {
  const directory = mkdtempSync(join(tmpdir(), 'dhclient4-'));
  const [script, result, leases] = ['script', 'result', 'leases'].map((name) => join(directory, name)) as [string, string, string];
  writeFileSync(
    script,
    `#!/bin/sh\ncase $reason in PREINIT) /sbin/ip link set $interface up;; BOUND|REBOOT) /sbin/ip addr replace $new_ip_address/$new_subnet_mask dev $interface; env > ${result};; esac\nexit 0\n`,
  );
  chmodSync(script, 0o755);
  writeFileSync(join(directory, 'conf'), 'timeout 60;\nretry 1;\nreboot 30;\ninitial-interval 1;\n');
  const times = ['renew', 'rebind', 'expire'].map((name) => `  ${name} epoch ${Math.floor(Date.now() / 1000) + 40_000};`);
  const server = remembered?.server ?? '10.65.0.1';
  writeFileSync(
    leases,
    remembered === undefined
      ? ''
      : `lease {\n  interface "eth0";\n  fixed-address ${remembered.address};\n  option dhcp-lease-time 80000;\n  option dhcp-message-type 5;\n  option dhcp-server-identifier ${server};\n${times.join('\n')}\n}\n`,
  );
  const files = ['-sf', script, '-cf', join(directory, 'conf'), '-lf', leases, '-pf', join(directory, 'pid')];
  const child = spawn('ip', ['netns', 'exec', guest.namespace, 'timeout', '90', 'dhclient', '-4', '-1', '-d', ...(release ? ['-r'] : []), ...files, 'eth0'], {
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const look = setInterval(() => readIfThere(result)?.includes('new_ip_address') && child.kill('SIGTERM'), 10);
  await ended;
  clearInterval(look);
  const text = readIfThere(result);
  rmSync(directory, { recursive: true, force: true });
  return text === undefined
    ? undefined
    : Object.fromEntries(text.split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
}

export type Dhclient6Options = {
  readonly seconds?: number;
  readonly duid?: string;
  /** A file in which the client keeps its lease, for its next run. */
  readonly leaseFile?: string;
  /** Makes the lease in the file older by this much, so that the client renews or rebinds at once and the result is reported. */
  readonly agedSeconds?: number;
  /** Whether the client requests only options. */
  readonly stateless?: boolean;
};

/** Runs dhclient for DHCPv6. Resolves with the variables that it passes to its script when it has its lease, or has it again: `reason`, `new_ip6_address`, `new_dhcp6_name_servers` … */
export async function dhclient6(
  guest: Guest,
  { seconds = 60, duid, leaseFile, agedSeconds, stateless = false }: Dhclient6Options = {},
): Promise<Udhcpc | undefined> {
  // dhclient gives up at once on an interface without a usable link-local address.
  while (!guest.run('ip', '-6', 'addr', 'show', 'dev', 'eth0', 'scope', 'link', '-tentative').includes('fe80'))
    await new Promise((resolve) => setTimeout(resolve, 10));
  const directory = mkdtempSync(join(tmpdir(), 'dhclient-'));
  const [script, result] = [join(directory, 'script'), join(directory, 'result')];
  writeFileSync(
    script,
    `#!/bin/sh\ncase $reason in ${agedSeconds === undefined ? 'BOUND6' : 'RENEW6|REBIND6'}) /sbin/ip -6 addr replace $new_ip6_address/128 dev $interface nodad; env > ${result};; ${stateless ? `*) env > ${result};;` : ''} esac\nexit 0\n`,
  );
  chmodSync(script, 0o755);
  writeFileSync(join(directory, 'conf'), '');
  if (duid !== undefined) {
    const octal = duid.split(':').map((byte) => `\\${Number.parseInt(byte, 16).toString(8).padStart(3, '0')}`);
    writeFileSync(join(directory, 'leases'), `default-duid "${octal.join('')}";\n`);
  }
  if (leaseFile !== undefined && agedSeconds !== undefined) {
    const age = (_: string, starts: string): string => `starts ${Number(starts) - agedSeconds};`;
    writeFileSync(leaseFile, readFileSync(leaseFile, 'utf8').replace(/starts (\d+);/g, age));
  }
  const child = spawn(
    'ip',
    [
      'netns',
      'exec',
      guest.namespace,
      'timeout',
      String(seconds),
      'dhclient',
      '-6',
      ...(stateless ? ['-S'] : []),
      '-1',
      '-d',
      '-nw',
      '-sf',
      script,
      '-cf',
      join(directory, 'conf'),
      '-lf',
      leaseFile ?? join(directory, 'leases'),
      '-pf',
      join(directory, 'pid'),
      'eth0',
    ],
    { stdio: 'ignore' },
  );
  const ended = new Promise((resolve) => child.once('exit', resolve));
  try {
    return await new Promise((resolve) => {
      const found = (): Udhcpc | undefined => {
        const text = readIfThere(result);
        if (!text?.includes(stateless ? 'new_dhcp6_name_servers' : 'new_ip6_address')) return undefined;
        return Object.fromEntries(text.split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
      };
      const done = (value: Udhcpc | undefined): void => {
        clearInterval(look);
        resolve(value);
      };
      const look = setInterval(() => {
        const value = found();
        if (value) done(value);
      }, 10);
      void ended.then(() => done(found())); // a stateless dhclient ends with the answer
    });
  } finally {
    child.kill('SIGTERM');
    await ended; // dhclient writes into its directory until it has ended
    rmSync(directory, { recursive: true, force: true });
  }
}
