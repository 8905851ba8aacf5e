// Computes what each workload's interface needs besides rules: routes, neighbours and sysctls. These are values; Felix programs them into the kernel.
import { addressOf, type Cidr, familyOf, hostCidr, type IpAddress } from '@calico-openstack/addresses';
import type { LocalWorkload, WorkloadId } from '@calico-openstack/datamodel';
import { linkLocalsOf } from './limits.ts';
import { type QosLimits, qosLimits } from './qos.ts';

/** The desired state of a workload's interface. */
export type WorkloadDevice = {
  readonly interfaceName: string;
  readonly workload: WorkloadId;
  /** Routes through the interface, sorted as text. Felix holds them back while the workload has not arrived by live migration. */
  readonly routes: readonly Cidr[];
  /** The host's part in a live migration of the workload. */
  readonly liveMigrationRole?: 'source' | 'target';
  /** Permanent neighbour entries: each address has this MAC, whatever the guest claims. The link-local address is among them, because DHCPv6 requests must come from it (limits.ts). */
  readonly neighbours: readonly { readonly address: IpAddress; readonly mac: string }[];
  /** Addresses that the host answers neighbour solicitations for. IPv6 needs them one by one: it has no proxy for all addresses. */
  readonly proxyNeighbours: readonly IpAddress[];
  /** The IPv4 gateway that the host answers ARP requests for. Absent when the workload has none, or has that address itself. */
  readonly ipv4Gateway?: IpAddress;
  /** The host's own addresses on the interface, for BGP sessions with the workload. The guest may announce routes then, and BIRD's routes through the interface are left to BIRD. */
  readonly peeringAddresses: readonly IpAddress[];
  /** Whether the workload may send from prefixes. Then the kernel's own reverse-path filter must be off, because only the rules know the exceptions. */
  readonly spoofing: boolean;
  /** The limits of its bandwidth: `ingress` to the workload, `egress` from it. Absent when there are none. */
  readonly bandwidth?: QosLimits['bandwidth'];
  /** The reasons why a part of the endpoint's value is not programmed. Absent when all of it is. */
  readonly refused?: string;
};

/** The most reasons that are listed. Only the number of the others is stated. */
const toldMost = 5;
const shortList = (reasons: readonly string[]): string =>
  reasons.slice(0, toldMost).join('; ') + (reasons.length > toldMost ? `; and ${reasons.length - toldMost} more` : '');

/** The desired state of a workload's interface; undefined when another endpoint owns the interface, so that nothing is programmed for this one. */
export function deviceOf(workload: LocalWorkload): WorkloadDevice | undefined {
  if (workload.shadowedBy) return undefined;
  const { mac, refusals, liveMigrationRole, qosControls } = workload;
  const bandwidth = qosControls && qosLimits(qosControls).bandwidth;
  const pairMacs = new Map((workload.pairMacs ?? []).flatMap((pair) => pair.addresses.map((cidr) => [cidr, pair.mac])));
  const own = new Set(workload.addresses);
  const speaksIpv6 = workload.routed.some((cidr) => familyOf(cidr) === 6);
  return {
    interfaceName: workload.interfaceName,
    workload: workload.id,
    routes: [...workload.routed].sort(),
    ...(liveMigrationRole && { liveMigrationRole }),
    neighbours: [
      ...(mac ? workload.routed.filter((cidr) => own.has(cidr)).map((cidr) => ({ address: addressOf(cidr), mac: pairMacs.get(cidr) ?? mac })) : []),
      ...(speaksIpv6 ? linkLocalsOf(workload) : []),
    ],
    ...(workload.ipv4Gateway && !own.has(hostCidr(workload.ipv4Gateway)) && { ipv4Gateway: workload.ipv4Gateway }),
    proxyNeighbours: workload.ipv6Gateway ? [workload.ipv6Gateway] : [],
    peeringAddresses: workload.bgpPeering?.addresses ?? [],
    spoofing: workload.allowSpoofedSourcePrefixes.length > 0,
    ...(bandwidth && Object.keys(bandwidth).length > 0 && { bandwidth }),
    ...(refusals && { refused: shortList(refusals) }),
  };
}
