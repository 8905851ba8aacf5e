// A host in memory for tests of `core.ts`: its interfaces, BIRD, files and clock.

import { type FakeClock, fakeClock } from '@calico-openstack/agent/fake-clock';
import { decoded, refused } from '@calico-openstack/datamodel';
import type { CoreConfig, World } from '../core.ts';
import type { Understood } from '../understood.ts';
import { type FakeBird, fakeBird } from './fake-bird.ts';

export const coreConfig: CoreConfig = {
  Hostname: 'h1',
  IPv4Address: { kind: 'find' },
  IPv6Address: { kind: 'none' },
  AsNumber: undefined,
  RouterId: undefined,
  InterfacePrefix: ['cali', 'tap'],
  DeviceRouteProtocol: 3,
  ExportPrefixes: [],
  WorkloadPrefixes: [],
  MaxRoutesPerPeer: 0,
  GracefulRestartWaitSecs: 15,
  BgpHoldTimeSecs: 90,
  RemoveHostsGoneDays: 0,
  OpenstackRegion: undefined,
  StartBird: false,
  BirdSocket: '/run/bird/bird.ctl',
  BirdLogFile: 'syslog',
};

export type FakeHost = {
  readonly world: World;
  readonly clock: FakeClock;
  readonly bird: FakeBird;
  readonly state: {
    /** The host's IPv4 address with its prefix length. */
    ipv4: string;
    hasBirdRoutes: boolean;
    /** The only password; undefined when the file cannot be read. */
    password: string | undefined;
    passwordsRead: number;
    readonly understood: Map<string, Understood>;
  };
  /** Reports to the agent that the host's own interfaces or addresses have changed. */
  changed(): void;
};

export function fakeHost(): FakeHost {
  const clock = fakeClock();
  const bird = fakeBird(clock.nowMs);
  const state: FakeHost['state'] = { ipv4: '192.0.2.1/24', hasBirdRoutes: false, password: 's3cret', passwordsRead: 0, understood: new Map() };
  let onChange = (): void => undefined;
  const address = (): string => state.ipv4.split('/')[0]!;
  const world: World = {
    openHost: (tell) => {
      onChange = tell;
      return {
        address: (family) => ({ address: family === 4 ? state.ipv4 : undefined, isGuess: false }),
        held: (asked) => (asked === address() ? { text: state.ipv4, isUp: true } : undefined),
        networks: () => ['192.0.2.0/24' as never],
        heldAddresses: () => [state.ipv4 as never],
        heldNetworks: () => [{ interface: 'eth0', network: '192.0.2.0/24' as never }],
        hasBirdRoutes: () => state.hasBirdRoutes,
        close: () => undefined,
      };
    },
    connectBird: bird.connect,
    startBird: (recover) => bird.start(recover),
    checkConfiguration: (path) => bird.check(path),
    file: bird.file,
    understood: {
      path: '/etc/bird/bird.conf.understood',
      read: async () => decoded(new Map(state.understood)),
      write: async (values) => {
        state.understood.clear();
        for (const [key, value] of values) state.understood.set(key, value);
      },
    },
    passwords: {
      password: () => (state.password === undefined ? refused('cannot read the passwords') : decoded(`"${state.password}"`)),
      readAgain: () => {
        state.passwordsRead += 1;
        return state.password === undefined ? 'cannot read the passwords' : undefined;
      },
    },
    clock,
  };
  return { world, clock, bird, state, changed: () => onChange() };
}
