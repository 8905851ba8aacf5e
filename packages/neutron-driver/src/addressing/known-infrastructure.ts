// Reads the cloud's own addresses from etcd when they are asked for, and keeps only the addresses: five thousand Nodes are no burden, and nobody watches them.
import { lookup } from 'node:dns/promises';
import { parseAddress } from '@calico-openstack/addresses';
import { resourcePrefix } from '@calico-openstack/datamodel';
import type { Etcd } from '@calico-openstack/etcd';
import { bgpPeerAddresses, etcdAddresses, type HeldAddress, type Infrastructure, infrastructureOf, nodeAddresses } from './infrastructure.ts';

export type KnownInfrastructureOptions = {
  readonly etcd: Etcd;
  /** URLs of etcd, beside those that its members tell. Names in them are looked up. */
  readonly endpoints: readonly string[];
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  readonly now?: () => number;
  /** A reading in the background that failed, or a name of an endpoint that has no address. */
  readonly onFailure: (what: string, error: unknown) => void;
};

export interface KnownInfrastructure {
  /** Not older than a moment. Rejects with EtcdError. */
  fresh(): Promise<Infrastructure>;
  /** What is known, and at most half a minute older than the last call: nobody waits, but who asks first. Rejects with EtcdError only then. */
  recent(): Promise<Infrastructure>;
}

const freshMs = 1000;
const recentMs = 30_000;
const namesMs = 60_000;
const lookupMs = 2000;

const resolveByName = async (host: string): Promise<readonly string[]> => (await lookup(host, { all: true })).map(({ address }) => address);

async function withinMs<T>(limitMs: number, work: Promise<T>): Promise<T> {
  const limit = Promise.withResolvers<never>();
  const timer = setTimeout(() => limit.reject(new Error(`no answer within ${limitMs} ms`)), limitMs);
  try {
    return await Promise.race([work, limit.promise]);
  } finally {
    clearTimeout(timer);
  }
}

const withScheme = (url: string): string => (/^https?:\/\//.test(url) ? url : `http://${url}`);

export function knownInfrastructure(options: KnownInfrastructureOptions): KnownInfrastructure {
  const { etcd, endpoints, resolve = resolveByName, now = Date.now, onFailure } = options;
  const resolved = new Map<string, { readonly atMs: number; readonly addresses: readonly string[] }>();
  let members: readonly string[] | undefined;
  let known: { readonly atMs: number; readonly value: Infrastructure } | undefined;
  let reading: Promise<Infrastructure> | undefined;

  /** One reading serves all who ask meanwhile. */
  function read(): Promise<Infrastructure> {
    reading ??= readAll().finally(() => {
      reading = undefined;
    });
    return reading;
  }

  async function readAll(): Promise<Infrastructure> {
    const atMs = now();
    const [nodes, peers, ofEtcd] = await Promise.all([readKind('nodes', nodeAddresses), readKind('bgppeers', bgpPeerAddresses), everyEndpoint()]);
    const value = infrastructureOf([...ofEtcd.flat(), ...peers, ...nodes]);
    known = { atMs, value };
    return value;
  }

  async function readKind(plural: 'nodes' | 'bgppeers', addressesOf: typeof nodeAddresses): Promise<readonly HeldAddress[]> {
    const prefix = resourcePrefix(plural);
    const { found } = await etcd.range(prefix);
    return found.flatMap(({ key, value }) => addressesOf({ name: key.slice(prefix.length), value }));
  }

  /** Where Neutron itself is told of one member only, or of 127.0.0.1, hosts use the others. */
  async function everyEndpoint(): Promise<readonly (readonly HeldAddress[])[]> {
    try {
      members = (await etcd.members()).flatMap(({ clientUrls }) => clientUrls.map(withScheme).filter((url) => URL.canParse(url)));
    } catch (error) {
      if (members === undefined) onFailure("etcd does not tell its members: only the addresses of the driver's own endpoints are known", error);
      members ??= [];
    }
    return Promise.all([...new Set([...endpoints, ...members])].map(endpointAddresses));
  }

  async function endpointAddresses(endpoint: string): Promise<readonly HeldAddress[]> {
    const host = new URL(endpoint).hostname.replace(/^\[(.*)\]$/, '$1');
    return etcdAddresses(parseAddress(host) ? [host] : await addressesOf(host), host);
  }

  /** Of a name: looked up once a minute, since a name server may be slow, and somebody's transaction waits. */
  async function addressesOf(host: string): Promise<readonly string[]> {
    const before = resolved.get(host);
    if (before && now() - before.atMs < namesMs) return before.addresses;
    const addresses = await withinMs(lookupMs, resolve(host)).catch((error: unknown) => {
      onFailure(`the addresses of etcd's ${host} are not known: those found before hold`, error);
      return before?.addresses ?? [];
    });
    resolved.set(host, { atMs: now(), addresses });
    return addresses;
  }

  return {
    fresh: async () => (known && now() - known.atMs <= freshMs ? known.value : read()),
    recent: async () => {
      if (!known) return read();
      if (now() - known.atMs > recentMs) read().catch((error: unknown) => onFailure('the addresses of Nodes and BGP peers could not be read anew', error));
      return known.value;
    },
  };
}
