// BIRD, on the router as a top-of-rack router would run it, and on the compute hosts.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Host, isOneNetwork, type Joined, type Machine, type Plan, type Rack, type Router } from '../plan.ts';
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

type Neighbor = { readonly name: string; readonly address: string; readonly asNumber: number; readonly passive: boolean };

/** The configuration of the router's BIRD, in every topology. On a shared network it has no sessions, because hosts are each other's next hops. */
export function routerConfiguration({ topology, router, racks, hosts }: Plan): string {
  return speakerConfiguration(
    router,
    isOneNetwork(topology)
      ? []
      : [...racks, ...hosts.filter((host) => host.router.name === router.name)].flatMap((machine) => sessionsWith(machine, machine.asNumber)),
  );
}

/** The configuration of a rack's router: sessions with its hosts, and with the router that connects the racks. */
export const rackConfiguration = ({ router, hosts }: Plan, rack: Rack): string =>
  speakerConfiguration(rack, [
    ...hosts.filter((host) => host.router.name === rack.name).flatMap((host) => sessionsWith(host, host.asNumber)),
    ...[rack.link.router4, rack.link.router6].map((address): Neighbor => ({ name: 'router', address, asNumber: router.asNumber, passive: false })),
  ]);

const sessionsWith = ({ name, link }: Joined, asNumber: number): Neighbor[] =>
  [link.machine4, link.machine6].map((address) => ({ name, address, asNumber, passive: true }));

/** A session for each family with each neighbour. A passive end waits for the connection. All learnt routes are passed on and programmed. */
const speakerConfiguration = ({ asNumber, routerId }: Router, neighbors: readonly Neighbor[]): string => `log stderr all;
router id ${routerId};

protocol device { scan time 5; }
protocol kernel kernel4 { persist; merge paths on; ipv4 { import none; export where source = RTS_BGP; }; }
protocol kernel kernel6 { persist; merge paths on; ipv6 { import none; export where source = RTS_BGP; }; }

template bgp session {
  local as ${asNumber};
  ${session}
}
${neighbors
  .map(({ name, address, asNumber: remote, passive }) => {
    const family = address.includes(':') ? 6 : 4;
    return `protocol bgp '${name}-v${family}' from session { neighbor ${address} as ${remote}; ${passive ? 'passive; ' : ''}ipv${family} { import all; export all; }; }`;
  })
  .join('\n')}
`;

/**
 * The least configuration with which a host's BIRD runs; the agent writes the rest. BIRD refuses a file without any protocol. A device protocol would be replaced by the agent's,
 * and then BIRD 2.0.12 scans the interfaces again only after the new one's scan time.
 */
export const idleConfiguration = ({ link }: Host): string => `log stderr all;
router id ${link.machine4};
protocol static { ipv4; }
`;

/** The configuration of a host's BIRD without our agent: it announces the VMs' routes to the router and forwards by what it learns. */
export const hostConfiguration = ({ link, asNumber, router }: Host): string => `log stderr all;
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
