// Follows the addresses that no workload may have because of this host: its own addresses and next hops, etcd's endpoints and BIRD's neighbours. The room `policy` adds those of Nodes
// and BGPPeers in the datastore.

import { parseAddress } from '@calico-openstack/addresses';
import { followAddresses, followFile, type Logger } from '@calico-openstack/agent';
import { type Reservations, reservationsOfBird, reservationsOfEtcd, reservationsOfHost } from '@calico-openstack/datamodel';
import type { HostAddresses } from '@calico-openstack/kernel';
import type { ReservationSource } from '@calico-openstack/policy';

/** The places from which reserved addresses come. */
export type ReservationSources = {
  readonly hostAddresses: HostAddresses;
  /** URLs of etcd's endpoints. */
  readonly etcdEndpoints: readonly string[];
  /** Returns the address at the other end of the connection to etcd, or undefined while there is none. */
  readonly etcdRemote: () => string | undefined;
  /** The file with BIRD's configuration; undefined when it is not to be read. */
  readonly birdFile: string | undefined;
  readonly log: Logger;
};

/** Keeps reservations current. */
export interface ReservationKeeper {
  /** Calls `reserve` for each source that has changed since the last call. @param interfacePrefixes prefixes of the names of workloads' interfaces */
  tell(interfacePrefixes: readonly string[], reserve: (source: ReservationSource, reservations: Reservations) => void): void;
  close(): void;
}

/** Follows all sources until `close()`. @param onChange called when a source has changed */
export function startReservationKeeper(sources: ReservationSources, onChange: () => void): ReservationKeeper {
  const { hostAddresses, etcdEndpoints, etcdRemote, birdFile, log } = sources;
  const dirty = new Set<ReservationSource>(['host', 'etcd', 'bird']);
  let named: readonly string[] = [];
  /** All addresses of etcd that this process has been connected to. They stay reserved, because an endpoint that is away may come back. */
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
              log.warn(
                { err: error, file: birdFile },
                "BIRD's configuration cannot be read; the neighbours that it had last stay reserved, and new ones are not known; correct the file's rights",
              ),
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
