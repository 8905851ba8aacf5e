// Reads the cloud's own addresses from etcd on demand and keeps only the addresses, so that five thousand Nodes need little memory and no watch.
import { lookup } from 'node:dns/promises';
import { parseAddress } from '@calico-openstack/addresses';
import { type Clock, systemClock, within } from '@calico-openstack/agent';
import { resourcePrefix } from '@calico-openstack/datamodel';
import type { Etcd } from '@calico-openstack/etcd';
import {
  bgpPeerAddresses,
  etcdAddresses,
  type HeldAddress,
  type Infrastructure,
  infrastructureOf,
  nodeAddresses,
  workloadPeeringAddresses,
} from './infrastructure.ts';

/** The sources of the addresses. */
export type KnownInfrastructureOptions = {
  readonly etcd: Etcd;
  /** etcd's URLs, in addition to those that its members report. Host names in them are resolved. */
  readonly endpoints: readonly string[];
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  readonly clock?: Pick<Clock, 'nowMs' | 'pause'>;
  /** Called when reading in the background fails, or when the name of an endpoint does not resolve. */
  readonly onFailure: (what: string, error: unknown) => void;
};

/** The cloud's own addresses, cached. */
export interface KnownInfrastructure {
  /** The addresses, read at most a second ago. Rejects with EtcdError. */
  fresh(): Promise<Infrastructure>;
  /** The addresses as they are cached. A call that finds them older than half a minute starts reading them again and does not wait. Only the first call waits, and only it rejects with EtcdError. */
  recent(): Promise<Infrastructure>;
}

const freshMs = 1000;
const recentMs = 30_000;
const namesMs = 60_000;
const lookupMs = 2000;

const resolveByName = async (host: string): Promise<readonly string[]> => (await lookup(host, { all: true })).map(({ address }) => address);

const withScheme = (url: string): string => (/^https?:\/\//.test(url) ? url : `http://${url}`);

/** Creates the cache. It reads nothing before the first call. */
export function knownInfrastructure(options: KnownInfrastructureOptions): KnownInfrastructure {
  const { etcd, endpoints, resolve = resolveByName, clock = systemClock, onFailure } = options;
  const { nowMs } = clock;
  const resolved = new Map<string, { readonly atMs: number; readonly addresses: readonly string[] }>();
  let members: readonly string[] | undefined;
  let known: { readonly atMs: number; readonly value: Infrastructure } | undefined;
  let reading: Promise<Infrastructure> | undefined;

  /** Reads the addresses. Calls while they are being read share the result. */
  function read(): Promise<Infrastructure> {
    reading ??= readAll().finally(() => {
      reading = undefined;
    });
    return reading;
  }

  async function readAll(): Promise<Infrastructure> {
    const atMs = nowMs();
    const [nodes, peers, peerings, ofEtcd] = await Promise.all([
      readKind('nodes', nodeAddresses),
      readKind('bgppeers', bgpPeerAddresses),
      readKind('bgpconfigurations', workloadPeeringAddresses),
      everyEndpoint(),
    ]);
    const value = infrastructureOf([...ofEtcd.flat(), ...peers, ...peerings, ...nodes]);
    known = { atMs, value };
    return value;
  }

  async function readKind(plural: 'nodes' | 'bgppeers' | 'bgpconfigurations', addressesOf: typeof nodeAddresses): Promise<readonly HeldAddress[]> {
    const prefix = resourcePrefix(plural);
    const { found } = await etcd.range(prefix);
    return found.flatMap(({ key, value }) => addressesOf({ name: key.slice(prefix.length), value }));
  }

  /** The addresses of all etcd endpoints. The hosts may use other members than the one, or the 127.0.0.1, that Neutron's own configuration names. */
  async function everyEndpoint(): Promise<readonly (readonly HeldAddress[])[]> {
    try {
      members = (await etcd.members()).flatMap(({ clientUrls }) => clientUrls.map(withScheme).filter((url) => URL.canParse(url)));
    } catch (error) {
      if (members === undefined)
        onFailure("etcd did not list its members, so tenants are refused only the addresses of the driver's own endpoints; retrying", error);
      members ??= [];
    }
    return Promise.all([...new Set([...endpoints, ...members])].map(endpointAddresses));
  }

  async function endpointAddresses(endpoint: string): Promise<readonly HeldAddress[]> {
    const host = new URL(endpoint).hostname.replace(/^\[(.*)\]$/, '$1');
    return etcdAddresses(parseAddress(host) ? [host] : await addressesOf(host), host);
  }

  /** The addresses of a host name. It is resolved once a minute, because a name server may be slow while a transaction of Neutron waits. */
  async function addressesOf(host: string): Promise<readonly string[]> {
    const before = resolved.get(host);
    if (before && nowMs() - before.atMs < namesMs) return before.addresses;
    const addresses = await within(resolve(host), lookupMs, clock, () => new Error(`no answer within ${lookupMs} ms`)).catch((error: unknown) => {
      onFailure(`etcd's host name ${host} cannot be resolved; the addresses found before stay in use; retrying; see the name server`, error);
      return before?.addresses ?? [];
    });
    resolved.set(host, { atMs: nowMs(), addresses });
    return addresses;
  }

  return {
    fresh: async () => (known && nowMs() - known.atMs <= freshMs ? known.value : read()),
    recent: async () => {
      if (!known) return read();
      if (nowMs() - known.atMs > recentMs)
        read().catch((error: unknown) =>
          onFailure('the addresses of Nodes and BGP peers could not be read from etcd again; those read before stay in use; retrying', error),
        );
      return known.value;
    },
  };
}
