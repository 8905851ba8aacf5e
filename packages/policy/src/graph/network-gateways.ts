// The gateways of this host's networks: the host has them on the taps of a network's endpoints, so that none of these can have one as an address pair.
import { type Cidr, hostCidr, networkIdAnnotation, type WorkloadEndpoint, type WorkloadId } from '@calico-openstack/datamodel';

/** The gateways that an endpoint names. */
export const gatewaysOf = ({ ipv4Gateway, ipv6Gateway }: WorkloadEndpoint): readonly Cidr[] =>
  [ipv4Gateway, ipv6Gateway].flatMap((gateway) => (gateway ? [hostCidr(gateway)] : []));

/** An endpoint that names no network is of the network of all that name none. */
const networkOf = ({ annotations }: WorkloadEndpoint): string => annotations[networkIdAnnotation] ?? '';

export class NetworkGateways {
  readonly #named = new Map<WorkloadId, { readonly network: string; readonly gateways: readonly Cidr[] }>();
  /** By gateway: who names it, and how many of each network do. */
  readonly #namers = new Map<Cidr, { readonly ids: Set<WorkloadId>; readonly networks: Map<string, number>; owner: WorkloadId | undefined }>();

  /** The endpoint is now this, or gone. Returns the gateways that a network now has here, or no longer has. */
  set(id: WorkloadId, endpoint: WorkloadEndpoint | undefined): readonly Cidr[] {
    const before = this.#named.get(id);
    const turned: Cidr[] = [];
    if (endpoint) {
      const [network, gateways] = [networkOf(endpoint), gatewaysOf(endpoint)];
      if (before?.network === network && before.gateways.join() === gateways.join()) return [];
      for (const gateway of gateways) this.#name(id, network, gateway, turned);
      this.#named.set(id, { network, gateways });
    } else this.#named.delete(id);
    for (const gateway of before?.gateways ?? []) this.#unname(id, before!.network, gateway, turned);
    return turned;
  }

  /** Whether the address is a gateway of the endpoint's network here. */
  has(endpoint: WorkloadEndpoint, address: Cidr): boolean {
    return this.#namers.get(address)?.networks.has(networkOf(endpoint)) ?? false;
  }

  /** Who names one of these gateways, where that is another endpoint's address than at the last call, or no longer one. What is no gateway here is passed over. */
  takeTurned(addresses: Iterable<Cidr>, ownerOf: (address: Cidr) => WorkloadId | undefined): Iterable<WorkloadId> {
    const ids = new Set<WorkloadId>();
    for (const gateway of addresses) {
      const namers = this.#namers.get(gateway);
      const owner = ownerOf(gateway);
      if (!namers || owner === namers.owner) continue;
      namers.owner = owner;
      for (const id of namers.ids) ids.add(id);
    }
    return ids;
  }

  #name(id: WorkloadId, network: string, gateway: Cidr, turned: Cidr[]): void {
    const namers = this.#namers.get(gateway) ?? { ids: new Set(), networks: new Map<string, number>(), owner: undefined };
    this.#namers.set(gateway, namers);
    namers.ids.add(id);
    const count = namers.networks.get(network) ?? 0;
    namers.networks.set(network, count + 1);
    if (count === 0) turned.push(gateway);
  }

  #unname(id: WorkloadId, network: string, gateway: Cidr, turned: Cidr[]): void {
    const namers = this.#namers.get(gateway)!;
    if (!this.#named.get(id)?.gateways.includes(gateway)) namers.ids.delete(id);
    const count = namers.networks.get(network)! - 1;
    if (count > 0) {
      namers.networks.set(network, count);
      return;
    }
    namers.networks.delete(network);
    if (namers.networks.size === 0) this.#namers.delete(gateway);
    turned.push(gateway);
  }
}
