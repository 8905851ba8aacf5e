// Holds this host's ports and the region's subnets, and computes each port's DHCP service. The services depend on the present content alone, and only changed ones are computed again.
import { addressOf, type Cidr, cidrContains, type IpAddress, isHostCidr } from '@calico-openstack/addresses';
import { compareClaims, compareText, decodeSubnet, type Reservations, ReservedAddresses, type Subnet } from '@calico-openstack/datamodel';
import { decodeEndpoint, type Endpoint } from './endpoint.ts';
import type { ServiceOptions } from './option-table.ts';
import { servePort } from './service/serve.ts';
import type { PortService } from './service/service.ts';

/** The DHCP agent's view of etcd, taps and reserved addresses. */
export interface Model {
  /** Sets a WorkloadEndpoint of this host by its etcd key; undefined when it was deleted. A value that does not decode counts as absent. */
  setEndpoint(key: string, value: Uint8Array | undefined): void;
  /** Sets a subnet that has DHCP enabled, by its etcd key; undefined when it was deleted. */
  setSubnet(key: string, value: Uint8Array | undefined): void;
  /** Sets a tap's MTU in bytes; undefined when the tap does not exist (any longer). The last MTU stays known while a port has the tap. */
  setTap(tap: string, mtuBytes: number | undefined): void;
  /** Replaces the addresses that `source` reserves. No tap gets a reserved address. Returns whether that changed anything. */
  setReserved(source: string, reservations: Reservations): boolean;
  /** Why nobody may have the address on a tap: a phrase that continues "it". undefined when the address is allowed. */
  obstacle(address: IpAddress): string | undefined;
  /** The services of the taps whose service may have changed since the last call. undefined for a tap means that it is not served. */
  takeChanged(): ReadonlyMap<string, PortService | undefined>;
  /** Why ports and subnets are not served, or only in part, by etcd key. */
  readonly problems: ReadonlyMap<string, readonly string[]>;
  /** The network of the port or subnet at an etcd key; undefined when its value does not say. */
  networkOf(key: string): string | undefined;
}

/** A model without ports, subnets and taps. */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: its indices are of one set of endpoints and change together, at each change of one of them
export function createModel(options: ServiceOptions): Model {
  const endpoints = new Map<string, Endpoint>();
  /** The keys of the endpoints that have a tap, a MAC, an address or a network, by `tap:…`, `mac:…`, `ip:…`, `network:…`. */
  const holders = new Map<string, Set<string>>();
  /** The taps whose service depends on an address, because it matters whether a port has it, or whether it is reserved. */
  const watchers = new Map<IpAddress, Set<string>>();
  const reserved = new ReservedAddresses();
  /** The etcd values of all subnets of the region, by network and key. Most networks have no port here, so their subnets are kept as text, which takes the least memory. */
  const subnetTexts = new Map<string, Map<string, string>>();
  const networkOf = new Map<string, string>();
  /** The subnets of networks that have a port here, decoded when one of these ports needs them first. */
  const subnetsOf = new Map<string, readonly Subnet[]>();
  /** The endpoint that a tap belongs to, cached by tap until one of the tap's endpoints comes or goes. */
  const heirs = new Map<string, Endpoint>();
  const present = new Set<string>();
  const mtus = new Map<string, number>();
  const problems = new Map<string, readonly string[]>();
  const changed = new Set<string>();

  const holdersOf = (token: string): Endpoint[] => [...(holders.get(token) ?? [])].flatMap((key) => endpoints.get(key) ?? []);
  /** The MAC and the fixed addresses, with which only one port can be served. Allowed address pairs are not among them, because several ports may have the same (members of a VRRP group do). */
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
    if (before && !holders.has(`network:${before.networkId}`)) forgetSubnets(before.networkId);
  }

  function setSubnet(key: string, value: Uint8Array | undefined): void {
    const now = value && decodeSubnet(value);
    const [before, networkId] = [networkOf.get(key), now?.ok ? now.value.networkId : undefined];
    problems.delete(key);
    if (before !== undefined) {
      networkOf.delete(key);
      subnetTexts.get(before)?.delete(key);
      if (subnetTexts.get(before)?.size === 0) subnetTexts.delete(before);
    }
    if (value && networkId !== undefined) {
      networkOf.set(key, networkId);
      subnetTexts.set(networkId, (subnetTexts.get(networkId) ?? new Map<string, string>()).set(key, new TextDecoder().decode(value)));
    } else if (now && !now.ok) {
      problems.set(key, [`the subnet is not served: ${now.reason}`]);
    }
    for (const one of new Set([before, networkId])) {
      if (one === undefined) continue;
      subnetsOf.delete(one);
      for (const { tap } of holdersOf(`network:${one}`)) changed.add(tap);
    }
  }

  /** A network's subnets in the order of their keys, so that of two overlapping ones the same counts whatever the order in which they arrived. */
  function subnetsIn(networkId: string): readonly Subnet[] {
    const known = subnetsOf.get(networkId);
    if (known) return known;
    const texts = [...(subnetTexts.get(networkId) ?? [])].sort(([a], [b]) => compareText(a, b));
    const subnets = texts.flatMap(([key, text]): readonly Subnet[] => {
      const subnet = decodeSubnet(new TextEncoder().encode(text));
      if (!subnet.ok) return [];
      if (subnet.value.leftOut)
        problems.set(key, [`the subnet ${subnet.value.cidr} is served without what cannot be read: ${subnet.value.leftOut.join('; ')}`]);
      return [subnet.value];
    });
    subnetsOf.set(networkId, subnets);
    return subnets;
  }

  function forgetSubnets(networkId: string): void {
    subnetsOf.delete(networkId);
    for (const key of subnetTexts.get(networkId)?.keys() ?? []) problems.delete(key);
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

  /** The endpoint to which a tap belongs. Of several, it is the one that Felix chooses too: an endpoint that was created later takes nothing from it. */
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
    const taken: string[] = endpoint.leasable.length > 0 ? [] : ['no address of the port is handed out: it has no fixed address, only allowed address pairs'];
    taken.push(...endpoint.extraDhcp.leftOut.map((reason) => `the extra DHCP options ${reason}`));
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
    if (mtuBytes === undefined) return undefined; // without a tap there is no guest to serve yet
    const { service, problems: found } = servePort(
      {
        tap,
        mac: endpoint.mac,
        networkId: endpoint.networkId,
        createdMs: endpoint.createdMs,
        addresses,
        fqdn: endpoint.fqdn,
        mtuBytes,
        extraOptions: endpoint.extraDhcp.options,
        subnets: subnetsIn(endpoint.networkId),
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
    networkOf: (key) => endpoints.get(key)?.networkId ?? networkOf.get(key),
  };
}

const firstOf = (endpoints: readonly Endpoint[]): Endpoint | undefined =>
  endpoints.reduce<Endpoint | undefined>((first, next) => (first === undefined || byClaim(next, first) < 0 ? next : first), undefined);

/** Orders endpoints by their claims. All claims are of kind `fixed`, because DHCP hands out no allowed address pairs. */
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
