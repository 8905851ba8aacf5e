// The facts of a workload of this host that matter for a BGP session with it.
import { type Cidr, familyOf, isHostCidr } from '@calico-openstack/addresses';
import type { Labels, WorkloadEndpoint } from '@calico-openstack/datamodel';

/** A workload of this host. */
export type Workload = {
  readonly interfaceName: string;
  /** The endpoint's own labels. Labels from profiles are not known here, and OpenStack's profiles have none. */
  readonly labels: Labels;
  /** The single addresses of the workload by family, in order: the port's fixed addresses, then its allowed address pairs. Pairs that are prefixes are left out. */
  readonly addresses: { readonly 4: readonly Cidr[]; readonly 6: readonly Cidr[] };
};

/** Extracts the facts from a WorkloadEndpoint. */
export function workloadOf({ interfaceName, labels, ipNetworks, allowedIps }: WorkloadEndpoint): Workload {
  const pairs = new Set(allowedIps);
  const single = ipNetworks.filter(isHostCidr);
  const inOrder = [...single.filter((cidr) => !pairs.has(cidr)), ...single.filter((cidr) => pairs.has(cidr))];
  const of = (family: 4 | 6): readonly Cidr[] => inOrder.filter((cidr) => familyOf(cidr) === family);
  return { interfaceName, labels, addresses: { 4: of(4), 6: of(6) } };
}
