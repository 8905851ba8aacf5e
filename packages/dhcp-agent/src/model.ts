// Knows this host's ports and the region's subnets, and computes each port's DHCP service. A function of current content alone; only what changed is computed again.
import { addressOf, type Cidr, cidrContains, type IpAddress, isHostCidr } from '@calico-openstack/addresses';
import { compareClaims, compareText, decodeSubnet, type Reservations, ReservedAddresses, type Subnet } from '@calico-openstack/datamodel';
import { decodeEndpoint, type Endpoint } from './endpoint.ts';
import type { ServiceOptions } from './option-table.ts';
import { servePort } from './service/serve.ts';
import type { PortService } from './service/service.ts';

/** The DHCP agent's view of etcd, taps and reserved addresses. */
export interface Model {
  /** Takes in a WorkloadEndpoint of this host by its etcd key; undefined when it was deleted. A value that does not decode counts as absent. */
  setEndpoint(key: string, value: Uint8Array | undefined): void;
  /** Takes in a subnet that has DHCP enabled by its etcd key; undefined when it was deleted. */
  setSubnet(key: string, value: Uint8Array | undefined): void;
  /** Takes in a tap's MTU in bytes; undefined when the tap does not exist (any longer). The last MTU stays known while a port has the tap. */
  setTap(tap: string, mtuBytes: number | undefined): void;
  /** Takes in which addresses `source` reserves: nobody may have them on a tap. Returns whether that changed anything. */
  setReserved(source: string, reservations: Reservations): boolean;
  /** Why nobody may have the address on a tap: a phrase that continues "it". undefined when the address is allowed. */
  obstacle(address: IpAddress): string | undefined;
  /** The services of the taps whose service may have changed since the last call. undefined for a tap means that it is not served. */
  takeChanged(): ReadonlyMap<string, PortService | undefined>;
  /** Why ports and subnets are not served, or only in part, by etcd key. */
  readonly problems: ReadonlyMap<string, readonly string[]>;
}

/** A model without ports, subnets and taps. */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: its indices are of one set of endpoints and change together, at each change of one of them
export function createModel(options: ServiceOptions): Model {
  const endpoints = new Map<string, Endpoint>();
  /** Keys of the endpoints that have a tap, a MAC, an address or a network, by `tap:…`, `mac:…`, `ip:…`, `network:…`. */
  const holders = new Map<string, Set<string>>();
  /** The taps whose service depends on an address: on whether a port has it, or whether it is reserved. */
  const watchers = new Map<IpAddress, Set<string>>();
  const reserved = new ReservedAddresses();
  const subnets = new Map<string, Subnet>();
  const subnetsOf = new Map<string, Map<string, Subnet>>();
  /** The endpoint that a tap belongs to, cached by tap until one of the tap's endpoints comes or goes. */
  const heirs = new Map<string, Endpoint>();
  const present = new Set<string>();
  const mtus = new Map<string, number>();
  const problems = new Map<string, readonly string[]>();
  const changed = new Set<string>();

  const holdersOf = (token: string): Endpoint[] => [...(holders.get(token) ?? [])].flatMap((key) => endpoints.get(key) ?? []);
  /** What only one port can be served with: its MAC and its fixed addresses. Allowed address pairs are not among them: several ports may have the same (members of a VRRP group do). */
  const claims = ({ mac, leasable }: Endpoint): string[] => [`mac:${mac}`, ...leasable.map((address) => `ip:${address}`)];
  const tokens = (endpoint: Endpoint): string[] => [`tap:${endpoint.tap}`, `network:${endpoint.networkId}`, ...claims(endpoint)];

  /** Marks every tap whose service may change with the endpoint: its own tap, the taps that share a MAC or an address with any port of that tap, and the taps that watch an address. */
  function touch(endpoint: Endpoint): void {
    changed.add(endpoint.tap);
    for (const one of [endpoint, ...holdersOf(`tap:${endpoint.tap}`)]) {
      for (const claim of claims(one)) for (const { tap } of holdersOf(claim)) changed.add(tap);
      for (const address of one.leasable) for (const tap of watchers.get(address) ?? []) changed.add(tap);
    }
  }

  function setEndpoint(key: string, value: Uint8Array | undefined): void {
    const before = endpoints.get(key);
    const now = value && decodeEndpoint(key, value);
    if (before) {
      touch(before);
      endpoints.delete(key);
      for (const token of tokens(before)) removeFrom(holders, token, key);
      heirs.delete(before.tap);
    }
    problems.delete(key);
    if (now?.ok) {
      endpoints.set(key, now.value);
      for (const token of tokens(now.value)) addTo(holders, token, key);
      heirs.delete(now.value.tap);
      touch(now.value);
    } else if (now) {
      problems.set(key, [`the port is not served: ${now.reason}`]);
    }
    if (before) forgetTap(before.tap);
  }

  function setSubnet(key: string, value: Uint8Array | undefined): void {
    const before = subnets.get(key);
    const now = value && decodeSubnet(value);
    subnets.delete(key);
    problems.delete(key);
    if (before) {
      subnetsOf.get(before.networkId)?.delete(key);
      if (subnetsOf.get(before.networkId)?.size === 0) subnetsOf.delete(before.networkId);
    }
    if (now?.ok) {
      subnets.set(key, now.value);
      subnetsOf.set(now.value.networkId, (subnetsOf.get(now.value.networkId) ?? new Map<string, Subnet>()).set(key, now.value));
    } else if (now) {
      problems.set(key, [`the subnet is not served: ${now.reason}`]);
    }
    for (const networkId of new Set([before?.networkId, now?.ok ? now.value.networkId : undefined]))
      for (const { tap } of holdersOf(`network:${networkId}`)) changed.add(tap);
  }

  function setTap(tap: string, mtuBytes: number | undefined): void {
    if (mtuBytes === undefined) {
      present.delete(tap);
      forgetTap(tap);
      return;
    }
    present.add(tap);
    if (mtus.get(tap) === mtuBytes) return;
    mtus.set(tap, mtuBytes);
    if (holders.has(`tap:${tap}`)) changed.add(tap);
  }

  function setReserved(source: string, reservations: Reservations): boolean {
    const cidrs = reserved.set(source, reservations);
    for (const cidr of cidrs) for (const tap of watchersIn(cidr)) changed.add(tap);
    return cidrs.size > 0;
  }

  const watchersIn = (cidr: Cidr): Iterable<string> =>
    isHostCidr(cidr) ? (watchers.get(addressOf(cidr)) ?? []) : [...watchers].flatMap(([address, taps]) => (cidrContains(cidr, address) ? [...taps] : []));

  function forgetTap(tap: string): void {
    if (!present.has(tap) && !holders.has(`tap:${tap}`)) mtus.delete(tap);
  }

  /** Of several ports with one tap, MAC or address, the one that Felix serves too: a port created later takes nothing from it. */
  const endpointOf = (tap: string): Endpoint | undefined => {
    const heir = heirs.get(tap) ?? firstOf(holdersOf(`tap:${tap}`));
    if (heir) heirs.set(tap, heir);
    return heir;
  };
  const ownerOf = (claim: string): Endpoint | undefined => firstOf(holdersOf(claim).filter((endpoint) => endpointOf(endpoint.tap) === endpoint));

  function compute(tap: string): PortService | undefined {
    const endpoint = endpointOf(tap);
    for (const other of holdersOf(`tap:${tap}`))
      if (other !== endpoint && endpoint) problems.set(other.key, [`the port is not served: ${endpoint.key}, which is older, has its tap ${tap}`]);
    if (!endpoint) return undefined;
    problems.delete(endpoint.key);
    const macOwner = ownerOf(`mac:${endpoint.mac}`);
    if (macOwner && macOwner !== endpoint) {
      problems.set(endpoint.key, [`the port is not served: ${macOwner.key}, which is older, has its MAC ${endpoint.mac}`]);
      return undefined;
    }
    const obstacle = (address: IpAddress): string | undefined => {
      addTo(watchers, address, tap);
      return reserved.obstacle(address);
    };
    const taken: string[] = [];
    const addresses = endpoint.leasable.filter((address) => {
      const owner = ownerOf(`ip:${address}`);
      const why = obstacle(address);
      if (why !== undefined) taken.push(`${address} is not handed out: it ${why}`);
      else if (owner !== undefined && owner !== endpoint) taken.push(`${address} is not handed out: ${owner.key}, which is older, has it`);
      else return true;
      return false;
    });
    if (taken.length > 0) problems.set(endpoint.key, taken);
    const mtuBytes = mtus.get(tap);
    if (mtuBytes === undefined) return undefined; // no tap, so nobody to serve yet
    const { service, problems: found } = servePort(
      {
        tap,
        mac: endpoint.mac,
        addresses,
        fqdn: endpoint.fqdn,
        mtuBytes,
        // In the order of their keys: of two subnets that overlap, the same one counts in whatever order they were read.
        subnets: [...(subnetsOf.get(endpoint.networkId) ?? [])].sort(([a], [b]) => compareText(a, b)).map(([, subnet]) => subnet),
        isTaken(address) {
          addTo(watchers, address, tap);
          return holders.has(`ip:${address}`);
        },
        obstacle,
      },
      options,
    );
    if (taken.length + found.length > 0) problems.set(endpoint.key, [...taken, ...found]);
    return service;
  }

  return {
    setEndpoint,
    setSubnet,
    setTap,
    setReserved,
    obstacle: (address) => reserved.obstacle(address),
    takeChanged() {
      const taps = [...changed];
      changed.clear();
      for (const tap of taps) for (const watching of watchers.values()) watching.delete(tap);
      const result = new Map(taps.map((tap) => [tap, compute(tap)]));
      for (const [address, watching] of watchers) if (watching.size === 0) watchers.delete(address);
      return result;
    },
    problems,
  };
}

const firstOf = (endpoints: readonly Endpoint[]): Endpoint | undefined =>
  endpoints.reduce<Endpoint | undefined>((first, next) => (first === undefined || byClaim(next, first) < 0 ? next : first), undefined);

/** All claims are of kind `fixed`: DHCP hands out fixed addresses only, no allowed address pairs. */
const byClaim = (a: Endpoint, b: Endpoint): number => compareClaims(claimOf(a), claimOf(b));
const claimOf = ({ createdMs, key }: Endpoint) => ({ kind: 'fixed', createdMs, id: key }) as const;

function addTo<K>(sets: Map<K, Set<string>>, at: K, value: string): void {
  const set = sets.get(at);
  if (set) set.add(value);
  else sets.set(at, new Set([value]));
}

function removeFrom<K>(sets: Map<K, Set<string>>, at: K, value: string): void {
  const set = sets.get(at);
  set?.delete(value);
  if (set?.size === 0) sets.delete(at);
}
