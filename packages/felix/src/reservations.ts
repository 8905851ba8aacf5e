// What others than workloads have, as this host knows it: its own addresses and next hops, etcd's endpoints, BIRD's neighbours. (Nodes and BGPPeers are read where the rest of the datastore is.)

import { parseAddress } from '@calico-openstack/addresses';
import { followAddresses, followFile, type Logger } from '@calico-openstack/agent';
import { type Reservations, reservationsOfBird, reservationsOfEtcd, reservationsOfHost } from '@calico-openstack/datamodel';
import type { HostAddresses } from '@calico-openstack/kernel';
import type { ReservationSource } from '@calico-openstack/policy';

export type ReservationSources = {
  readonly hostAddresses: HostAddresses;
  /** URLs. */
  readonly etcdEndpoints: readonly string[];
  /** The address at the other end of the connection to etcd, while there is one. */
  readonly etcdRemote: () => string | undefined;
  /** undefined: BIRD's configuration is not looked at. */
  readonly birdFile: string | undefined;
  readonly log: Logger;
};

export interface ReservationKeeper {
  /** Hands on what is another than at the last call. `interfacePrefixes`: beginnings of the names of workloads' interfaces. */
  tell(interfacePrefixes: readonly string[], reserve: (source: ReservationSource, reservations: Reservations) => void): void;
  close(): void;
}

/** Follows all of it from now on. @param onChange there is something to tell */
export function startReservationKeeper(sources: ReservationSources, onChange: () => void): ReservationKeeper {
  const { hostAddresses, etcdEndpoints, etcdRemote, birdFile, log } = sources;
  const dirty = new Set<ReservationSource>(['host', 'etcd', 'bird']);
  let named: readonly string[] = [];
  /** All that this process has been connected to: an endpoint that is away now comes back. */
  const connected = new Set<string>();
  let neighbours: Reservations = new Map();
  let toldPrefixes: readonly string[] = [];

  function change(source: ReservationSource): void {
    dirty.add(source);
    onChange();
  }

  const following = [
    hostAddresses.watch(() => change('host')),
    followAddresses(etcdEndpoints, (addresses) => {
      named = addresses;
      change('etcd');
    }),
    ...(birdFile === undefined
      ? []
      : [
          followFile(birdFile, {
            onText: (text) => {
              neighbours = reservationsOfBird(text ?? '');
              change('bird');
            },
            onUnreadable: (error) =>
              log.warn({ err: error, file: birdFile }, "BIRD's configuration cannot be read: no workload gets an address of the neighbours that it named last"),
          }),
        ]),
  ];

  return {
    tell(interfacePrefixes, reserve) {
      const remote = etcdRemote();
      if (remote !== undefined && !connected.has(remote)) {
        connected.add(remote);
        dirty.add('etcd');
      }
      if (toldPrefixes !== interfacePrefixes) dirty.add('host');
      toldPrefixes = interfacePrefixes;
      const isWorkloads = (name: string): boolean => interfacePrefixes.some((prefix) => name.startsWith(prefix));
      if (dirty.has('host')) reserve('host', reservationsOfHost(hostAddresses.read(), isWorkloads));
      if (dirty.has('etcd')) reserve('etcd', reservationsOfEtcd([...named, ...connected].flatMap((text) => parseAddress(text) ?? [])));
      if (dirty.has('bird')) reserve('bird', neighbours);
      dirty.clear();
    },
    close() {
      for (const each of following) each.close();
    },
  };
}
