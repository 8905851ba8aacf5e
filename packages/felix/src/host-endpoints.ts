// Decides which host endpoint governs which of the host's own interfaces, from the datastore's content and the links and addresses that the kernel has now.
//
// A host endpoint governs the interface that it names. Without a name it governs every interface that has one of its expected addresses. When several name the same interface or address,
// the first by name governs it. A host endpoint for `*` governs all interfaces that no other governs. Workloads' interfaces and loopback are never governed by name or address.
import type { EndpointStatus, HostEndpointId, LocalHostEndpoint } from '@calico-openstack/datamodel';
import type { Links } from '@calico-openstack/kernel';
import { everyInterface } from '@calico-openstack/render';

/** The status of a host endpoint, with a reason for people when it is `error`. */
export type HostEndpointStatus = { readonly status: EndpointStatus; readonly reason?: string };

/** The part of the kernel's links that this file reads. */
export type HostLinks = Pick<Links, 'links' | 'link' | 'addresses'>;

const loopback = 'lo';
/**
 * How long an interface keeps its host endpoint after the address by which that governed it is gone. A DHCP client that renews a lease removes the address and adds it again, and the
 * interface must not be open meanwhile.
 */
const addressGraceMs = 1000;

/** The host endpoints of this host and the interfaces that they govern. */
export class HostInterfaces {
  readonly #links: HostLinks;
  /** Returns whether an interface is not one of the host's own, but a workload's or one that Felix made. */
  readonly #isForeign: (name: string) => boolean;
  readonly #endpoints = new Map<HostEndpointId, LocalHostEndpoint>();
  #governed: ReadonlyMap<string, LocalHostEndpoint> = new Map();
  #statuses: ReadonlyMap<HostEndpointId, HostEndpointStatus> = new Map();
  /** The time until which an interface keeps its host endpoint although the address is gone. */
  readonly #keptUntilMs = new Map<string, number>();
  #dirty = false;

  constructor(links: HostLinks, isForeign: (name: string) => boolean) {
    this.#links = links;
    this.#isForeign = isForeign;
  }

  /** Says that these links or their addresses have changed. Without names, it says that another answer of `isForeign` is possible. */
  linksChanged(names?: Iterable<string>): void {
    if (this.#endpoints.size > 0 && (names === undefined || [...names].some((name) => !this.#isForeign(name)))) this.#dirty = true;
  }

  /** After how many milliseconds `take` changes something by itself; undefined when it does not. */
  restMs(nowMs: number): number | undefined {
    return this.#keptUntilMs.size === 0 ? undefined : Math.max(1, Math.min(...this.#keptUntilMs.values()) - nowMs);
  }

  /**
   * Takes changed host endpoints. Returns the host endpoint that now governs an interface, for each interface (by its name or `*`) where that has changed; undefined where none governs it
   * any more.
   */
  take(changes: ReadonlyMap<HostEndpointId, LocalHostEndpoint | undefined>, nowMs: number): ReadonlyMap<string, LocalHostEndpoint | undefined> {
    for (const [id, endpoint] of changes) {
      if (endpoint) this.#endpoints.set(id, endpoint);
      else this.#endpoints.delete(id);
    }
    const isDue = [...this.#keptUntilMs.values()].some((untilMs) => untilMs <= nowMs);
    if (!this.#dirty && changes.size === 0 && !isDue) return new Map();
    this.#dirty = false;
    const before = this.#governed;
    this.#governed = this.#govern(nowMs);
    return differences(before, this.#governed, (one, other) => one === other);
  }

  /** The statuses that differ from those of the last call; undefined for a host endpoint that is gone. To be called when the kernel has been programmed with the result of `take`. */
  takeStatuses(): ReadonlyMap<HostEndpointId, HostEndpointStatus | undefined> {
    const before = this.#statuses;
    this.#statuses = new Map([...this.#endpoints.values()].map((endpoint) => [endpoint.id, this.#statusOf(endpoint)]));
    return differences(before, this.#statuses, (one, other) => one.status === other.status && one.reason === other.reason);
  }

  #govern(nowMs: number): ReadonlyMap<string, LocalHostEndpoint> {
    const inOrder = [...this.#endpoints.values()].sort((one, other) => Buffer.compare(Buffer.from(one.id), Buffer.from(other.id)));
    const governed = new Map<string, LocalHostEndpoint>();
    const isOwn = (name: string): boolean => name !== loopback && !this.#isForeign(name);
    const kept = new Map(this.#keptUntilMs);
    this.#keptUntilMs.clear();
    for (const endpoint of inOrder) {
      // An interface that a host endpoint names is policed before it exists, so that it is never open.
      const names = endpoint.interfaceName === undefined ? this.#holders(endpoint) : [endpoint.interfaceName];
      for (const name of names) if ((name === everyInterface || isOwn(name)) && !governed.has(name)) governed.set(name, endpoint);
    }
    for (const [name, former] of this.#governed) {
      const endpoint = this.#endpoints.get(former.id);
      if (!endpoint || endpoint.interfaceName !== undefined || former.interfaceName !== undefined || governed.has(name) || !this.#links.link(name)) continue;
      const untilMs = kept.get(name) ?? nowMs + addressGraceMs;
      if (untilMs <= nowMs) continue;
      this.#keptUntilMs.set(name, untilMs);
      governed.set(name, endpoint);
    }
    return governed;
  }

  /** The interfaces with one of the addresses that a host endpoint expects. */
  #holders({ expectedIps }: LocalHostEndpoint): readonly string[] {
    const expected = new Set<string>(expectedIps);
    return [...this.#links.links.keys()].filter((name) => this.#links.addresses(name).some(({ address }) => expected.has(address)));
  }

  #statusOf(endpoint: LocalHostEndpoint): HostEndpointStatus {
    const { id, interfaceName } = endpoint;
    const governed = this.#governed;
    if (interfaceName === everyInterface) {
      const first = governed.get(everyInterface)!;
      return first.id === id ? { status: 'up' } : { status: 'error', reason: `the host endpoint ${first.id} is for every interface` };
    }
    const mine = [...governed].filter(([, { id: governor }]) => governor === id).flatMap(([name]) => this.#links.link(name) ?? []);
    if (mine.length > 0) return { status: mine.every(({ running }) => running) ? 'up' : 'down' };
    return { status: 'error', reason: this.#obstacleOf(endpoint) };
  }

  /** Why a host endpoint governs no interface. */
  #obstacleOf(endpoint: LocalHostEndpoint): string {
    const { id, interfaceName, expectedIps } = endpoint;
    const governed = this.#governed;
    if (interfaceName === loopback) return 'loopback is never policed';
    if (interfaceName !== undefined && this.#isForeign(interfaceName))
      return `${interfaceName} is no interface of the host's own: workload endpoints' policies govern it`;
    const name = interfaceName ?? this.#holders(endpoint).find((holder) => governed.has(holder));
    const winner = name === undefined ? undefined : governed.get(name);
    if (winner && winner.id !== id) return `the host endpoint ${winner.id} governs ${name}`;
    return interfaceName === undefined ? `no interface of the host's own has ${expectedIps.join(' or ')}` : `there is no interface ${interfaceName}`;
  }
}

function differences<K, V>(before: ReadonlyMap<K, V>, after: ReadonlyMap<K, V>, equal: (one: V, other: V) => boolean): ReadonlyMap<K, V | undefined> {
  const changed = new Map<K, V | undefined>();
  for (const key of before.keys()) if (!after.has(key)) changed.set(key, undefined);
  for (const [key, value] of after) {
    const former = before.get(key);
    if (former === undefined || !equal(former, value)) changed.set(key, value);
  }
  return changed;
}
