// Tracks the allowed address pairs of all endpoints of the cluster that are single addresses, to find those that several ports of a network share, as the members of a VRRP group do.
import { type Cidr, isHostCidr } from '@calico-openstack/addresses';
import type { WorkloadEndpoint } from '@calico-openstack/datamodel';
import { networkOf } from './network-gateways.ts';

/** The address pairs, by datastore key. Endpoints without pairs cost nothing. */
export class AddressPairs {
  readonly #pairs = new Map<string, { readonly network: string; readonly port: string; readonly addresses: readonly Cidr[] }>();
  /** How many endpoints of each port have an address as a pair, by network and address. A port has two while it migrates, one on each host. */
  readonly #ports = new Map<string, Map<string, number>>();

  /**
   * Sets an endpoint; undefined removes it.
   * @param port the id of its port
   * @returns the addresses that may have become shared or ceased to be
   */
  set(key: string, port: string, endpoint: WorkloadEndpoint | undefined): readonly Cidr[] {
    const before = this.#pairs.get(key);
    const addresses = endpoint ? pairsOf(endpoint) : [];
    if (!before && addresses.length === 0) return [];
    const after = endpoint && addresses.length > 0 ? { network: networkOf(endpoint), port, addresses } : undefined;
    for (const address of after?.addresses ?? []) this.#count(after!.network, address, port, 1);
    for (const address of before?.addresses ?? []) this.#count(before!.network, address, before!.port, -1);
    if (after) this.#pairs.set(key, after);
    else this.#pairs.delete(key);
    return [...new Set([...addresses, ...(before?.addresses ?? [])])];
  }

  /** Whether several ports of the network of this endpoint have the address as a pair. */
  areShared(endpoint: WorkloadEndpoint, address: Cidr): boolean {
    return (this.#ports.get(`${networkOf(endpoint)} ${address}`)?.size ?? 0) > 1;
  }

  #count(network: string, address: Cidr, port: string, by: 1 | -1): void {
    const key = `${network} ${address}`;
    const ports = this.#ports.get(key) ?? new Map<string, number>();
    const count = (ports.get(port) ?? 0) + by;
    if (count > 0) ports.set(port, count);
    else ports.delete(port);
    if (ports.size > 0) this.#ports.set(key, ports);
    else this.#ports.delete(key);
  }
}

/** The single addresses that an endpoint has as pairs. As for claims, only a pair among its addresses counts. */
function pairsOf({ allowedIps, ipNetworks }: WorkloadEndpoint): readonly Cidr[] {
  if (allowedIps.length === 0) return allowedIps;
  const own = new Set(ipNetworks);
  return [...new Set(allowedIps)].filter((cidr) => isHostCidr(cidr) && own.has(cidr));
}
