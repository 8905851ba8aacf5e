// Counts the endpoints and hosts of the cluster for metrics. The counts are kept while values change, so that reading them costs nothing.

/** The kinds of endpoints. */
export type EndpointKind = 'workloadEndpoints' | 'hostEndpoints';

/** Counts of valid endpoints, and of hosts that have a Node or a workload endpoint. */
export class Tally {
  readonly #endpoints: Record<EndpointKind, number> = { workloadEndpoints: 0, hostEndpoints: 0 };
  readonly #nodes = new Set<string>();
  /** By host, its workload endpoints, and one for its Node. */
  readonly #uses = new Map<string, number>();

  get counts(): Readonly<Record<EndpointKind | 'hosts', number>> {
    return { ...this.#endpoints, hosts: this.#uses.size };
  }

  /** Notes whether an endpoint was there before a change, and is after it. @param host undefined when the endpoint does not count for a host */
  endpoint(kind: EndpointKind, host: string | undefined, before: boolean, after: boolean): void {
    if (before === after) return;
    this.#endpoints[kind] += after ? 1 : -1;
    if (host !== undefined) this.#use(host, after ? 1 : -1);
  }

  /** Notes whether a host has a Node. */
  node(name: string, present: boolean): void {
    if (this.#nodes.has(name) === present) return;
    if (present) this.#nodes.add(name);
    else this.#nodes.delete(name);
    this.#use(name, present ? 1 : -1);
  }

  #use(host: string, more: 1 | -1): void {
    const uses = (this.#uses.get(host) ?? 0) + more;
    if (uses === 0) this.#uses.delete(host);
    else this.#uses.set(host, uses);
  }
}
