// A workload of this host, as far as a BGP session with it is concerned.
import { type Cidr, familyOf, isHostCidr } from '@calico-openstack/addresses';
import type { Labels, WorkloadEndpoint } from '@calico-openstack/datamodel';

export type Workload = {
  readonly interfaceName: string;
  /** Its own; those that profiles would give are not known here, and OpenStack's profiles have none. */
  readonly labels: Labels;
  /** By family, in order: single addresses that are its own, the port's fixed ones first, then its address pairs. */
  readonly addresses: { readonly 4: readonly Cidr[]; readonly 6: readonly Cidr[] };
};

export function workloadOf({ interfaceName, labels, ipNetworks, allowedIps }: WorkloadEndpoint): Workload {
  const pairs = new Set(allowedIps);
  const single = ipNetworks.filter(isHostCidr);
  const inOrder = [...single.filter((cidr) => !pairs.has(cidr)), ...single.filter((cidr) => pairs.has(cidr))];
  const of = (family: 4 | 6): readonly Cidr[] => inOrder.filter((cidr) => familyOf(cidr) === family);
  return { interfaceName, labels, addresses: { 4: of(4), 6: of(6) } };
}
