// What each workload's interface is to have besides rules: routes, neighbours, sysctls. Values only; felix makes the kernel's so.
import { addressOf, type Cidr, familyOf, type IpAddress, type LocalWorkload, type WorkloadId } from '@calico-openstack/datamodel';
import { linkLocalsOf } from './limits.ts';

export type WorkloadDevice = {
  readonly interfaceName: string;
  readonly workload: WorkloadId;
  /** Device routes, in order of text. Empty while this host is only the target of a live migration. */
  readonly routes: readonly Cidr[];
  /** Permanent neighbours: each address is at this MAC, whatever the guest claims. The link-local one too: DHCPv6 asks for it (limits.ts). */
  readonly neighbours: readonly { readonly address: IpAddress; readonly mac: string }[];
  /** Addresses that the host answers neighbour solicitations for: IPv6 has no proxy for all. */
  readonly proxyNeighbours: readonly IpAddress[];
  /** Reverse-path filtering by the kernel itself must be off: the rules know the exceptions, it does not. */
  readonly spoofing: boolean;
  /** Why not all is here that the endpoint's value asks for. */
  readonly refused?: string;
};

/** Enough to find the first mistakes by; the number of the others is told. */
const toldMost = 5;
const shortList = (reasons: readonly string[]): string =>
  reasons.slice(0, toldMost).join('; ') + (reasons.length > toldMost ? `; and ${reasons.length - toldMost} more` : '');

/** undefined: nothing is programmed for this endpoint, since another one has its interface. */
export function deviceOf(workload: LocalWorkload): WorkloadDevice | undefined {
  if (workload.shadowedBy) return undefined;
  const routes = workload.liveMigrationRole === 'target' ? [] : [...workload.routed].sort();
  const { mac, refusals } = workload;
  const pairMacs = new Map((workload.pairMacs ?? []).flatMap((pair) => pair.addresses.map((cidr) => [cidr, pair.mac])));
  const own = new Set(workload.addresses);
  const speaksIpv6 = workload.routed.some((cidr) => familyOf(cidr) === 6);
  return {
    interfaceName: workload.interfaceName,
    workload: workload.id,
    routes,
    neighbours: [
      ...(mac ? workload.routed.filter((cidr) => own.has(cidr)).map((cidr) => ({ address: addressOf(cidr), mac: pairMacs.get(cidr) ?? mac })) : []),
      ...(speaksIpv6 ? linkLocalsOf(workload) : []),
    ],
    proxyNeighbours: workload.ipv6Gateway ? [workload.ipv6Gateway] : [],
    spoofing: workload.allowSpoofedSourcePrefixes.length > 0,
    ...(refusals && { refused: shortList(refusals) }),
  };
}
