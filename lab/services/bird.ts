// BIRD, on the router as a top-of-rack router would run it, and on the compute hosts.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host, Machine, Plan } from '../plan.ts';
import type { Processes, Service } from '../process.ts';
import { until } from '../wait.ts';

/** A BIRD of the lab. */
export interface Bird extends Service {
  readonly configuration: string;
  readonly controlSocket: string;
  /** Runs a birdc command and returns what it prints. */
  ctl(...command: readonly string[]): Promise<string>;
  /** The states of its BGP sessions by name: `Established`, `Active`, … */
  sessions(): Promise<ReadonlyMap<string, string>>;
}

/** Describes BIRD on a machine. It starts with `configuration`; with `keep`, a configuration that the agent has written stays. */
export function birdService(processes: Processes, on: Machine, configuration: string, keep: boolean): Bird {
  const name = `${on.name}/bird`;
  const directory = join(processes.directory, name);
  const file = join(directory, 'bird.conf');
  const controlSocket = join(directory, 'bird.ctl');
  let written = false;
  const ctl = (...command: readonly string[]): Promise<string> => processes.run('birdc', ['-s', controlSocket, ...command]);
  const service = processes.service({
    name,
    on,
    command: 'bird',
    args: ['-f', '-c', file, '-s', controlSocket, '-P', join(directory, 'bird.pid')],
    prepare: () => {
      mkdirSync(directory, { recursive: true });
      if (!(keep && written)) writeFileSync(file, configuration);
      written = true;
    },
    ready: async (hopeful) => {
      await until('an answer of BIRD', async () => ((await ctl('show', 'status')).includes('Daemon is up') ? true : undefined), { hopeful });
    },
  });
  return Object.assign(service, { configuration: file, controlSocket, ctl, sessions: async () => bgpSessions(await ctl('show', 'protocols')) });
}

/** Parses `show protocols`: name, protocol, table, state, since (date and time may be two words), and for BGP the session's state. */
export const bgpSessions = (shown: string): ReadonlyMap<string, string> =>
  new Map(
    shown
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .flatMap(([name, protocol, ...rest]) =>
        name !== undefined && protocol === 'BGP' ? [[name, rest.find((word) => /^[A-Z][a-z]+$/.test(word)) ?? 'Down'] as const] : [],
      ),
  );

/** Timers that detect a new or a lost neighbour within seconds, as in a data centre's fabric. */
const session = `hold time 9; connect delay time 1; connect retry time 2; error wait time 1, 5; graceful restart on;`;

/** The name of the router's session with a host in one family. */
export const routerSession = ({ number }: Host, family: 4 | 6): string => `host${number}v${family}`;

/** The router's configuration: it waits for a session with each host in each family, passes on all routes that it learns, and forwards by them. */
export const routerConfiguration = ({ router, hosts }: Plan): string => `log stderr all;
router id ${router.routerId};

protocol device { scan time 5; }
protocol kernel kernel4 { persist; merge paths on; ipv4 { import none; export where source = RTS_BGP; }; }
protocol kernel kernel6 { persist; merge paths on; ipv6 { import none; export where source = RTS_BGP; }; }

template bgp compute {
  local as ${router.asNumber};
  passive;
  ${session}
}
${hosts.flatMap((host) => [routerPeer(host, 4), routerPeer(host, 6)]).join('\n')}
`;

const routerPeer = (host: Host, family: 4 | 6): string =>
  `protocol bgp ${routerSession(host, family)} from compute { neighbor ${family === 4 ? host.link.machine4 : host.link.machine6} as ${host.asNumber}; ipv${family} { import all; export all; }; }`;

/**
 * The least configuration with which a host's BIRD runs; the agent writes the rest. BIRD refuses a file without any protocol. A device protocol would be replaced by the agent's,
 * and then BIRD 2.0.12 scans the interfaces again only after the new one's scan time.
 */
export const idleConfiguration = ({ link }: Host): string => `log stderr all;
router id ${link.machine4};
protocol static { ipv4; }
`;

/** The configuration of a host's BIRD without our agent: it announces the VMs' routes to the router and forwards by what it learns. */
export const hostConfiguration = ({ link, asNumber }: Host, router: Plan['router']): string => `log stderr all;
router id ${link.machine4};

protocol device { scan time 5; }
filter workloads { if ifname ~ "tap*" then accept; reject; }
filter learnt { if source = RTS_BGP then accept; reject; }
protocol kernel kernel4 { learn; persist; merge paths on; scan time 2; ipv4 { import all; export filter learnt; }; }
protocol kernel kernel6 { learn; persist; merge paths on; scan time 2; ipv6 { import all; export filter learnt; }; }
template bgp tor {
  local as ${asNumber};
  ${session}
}
protocol bgp tor4 from tor { neighbor ${link.router4} as ${router.asNumber}; ipv4 { import all; export filter workloads; next hop self; }; }
protocol bgp tor6 from tor { neighbor ${link.router6} as ${router.asNumber}; ipv6 { import all; export filter workloads; next hop self; }; }
`;
