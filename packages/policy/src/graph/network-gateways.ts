// The gateways of the networks that this host has endpoints of. The host answers for them on the endpoints' taps, so no endpoint of the network can have one as an address pair.
import { type Cidr, hostCidr } from '@calico-openstack/addresses';
import { networkIdAnnotation, type WorkloadEndpoint, type WorkloadId } from '@calico-openstack/datamodel';

/** The gateways that an endpoint names, as prefixes of one address. */
export const gatewaysOf = ({ ipv4Gateway, ipv6Gateway }: WorkloadEndpoint): readonly Cidr[] =>
  [ipv4Gateway, ipv6Gateway].flatMap((gateway) => (gateway ? [hostCidr(gateway)] : []));

/** The network of an endpoint. All endpoints that name no network count as one network. */
export const networkOf = ({ annotations }: WorkloadEndpoint): string => annotations[networkIdAnnotation] ?? '';

/** The gateways that local endpoints name. */
export class NetworkGateways {
  readonly #named = new Map<WorkloadId, { readonly network: string; readonly gateways: readonly Cidr[] }>();
  /** By gateway: the endpoints that name it, how many of each network do, and the endpoint that owned the address at the last `takeTurned`. */
  readonly #namers = new Map<Cidr, { readonly ids: Set<WorkloadId>; readonly networks: Map<string, number>; owner: WorkloadId | undefined }>();

  /** Sets an endpoint; undefined removes it. Returns the gateways that became or ceased to be one of a network here. */
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

  /** Whether the address is a gateway of the endpoint's network on this host. */
  has(endpoint: WorkloadEndpoint, address: Cidr): boolean {
    return this.#namers.get(address)?.networks.has(networkOf(endpoint)) ?? false;
  }

  /** The endpoints that name one of these addresses as a gateway, if the address has another owner than at the last call. Addresses that are no gateway here are skipped. */
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
