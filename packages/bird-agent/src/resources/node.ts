// Node: a host as a BGP speaker. Written by this agent for its own host, by operators where they know better.
import type { IpAddress } from '@calico-openstack/addresses';
import { type Decoded, decoded, decodeResource, type Fields, type Labels, refused } from '@calico-openstack/datamodel';
import { type FieldProblem, object, readFields } from './fields.ts';
import { asNumber, clusterId, type InterfaceAddress, interfaceAddress } from './values.ts';

export type Node = {
  readonly name: string;
  readonly labels: Labels;
  /** undefined: nobody says. */
  readonly madeMs: number | undefined;
  /** When its host last said that the Node's addresses are its own; 0: never. */
  readonly claimedMs: number;
  readonly addresses: { readonly 4: InterfaceAddress | undefined; readonly 6: InterfaceAddress | undefined };
  /** undefined: BGPConfiguration's. */
  readonly asNumber: number | undefined;
  /** Set: this host is a route reflector of that cluster, and takes no part in the mesh. */
  readonly routeReflectorClusterId: IpAddress | undefined;
};

/**
 * When a host said that its Node's addresses are its own. It says so only where another Node has one of them: that of a host which was renamed or built anew is left behind, and
 * nobody speaks for it.
 */
export const claimedAnnotation = 'openstack.projectcalico.org/addresses-claimed';

/** A Node's bytes. One field of `spec.bgp` that is not understood refuses the Node: half a speaker would be guessed at. */
export function decodeNode(name: string, bytes: Uint8Array): Decoded<Node> {
  const resource = decodeResource(bytes);
  if (!resource.ok) return resource;
  const problems: FieldProblem[] = [];
  const bgp = readFields(readFields(resource.value.spec, 'spec', problems).read('bgp', object) ?? noFields, 'spec.bgp', problems);
  const { labels, annotations, creationTimestamp } = resource.value.metadata;
  const node: Node = {
    name,
    labels,
    madeMs: timeMs(creationTimestamp),
    claimedMs: timeMs(annotations[claimedAnnotation]) ?? 0,
    addresses: { 4: bgp.read('ipv4Address', interfaceAddress(4)), 6: bgp.read('ipv6Address', interfaceAddress(6)) },
    asNumber: bgp.read('asNumber', asNumber),
    routeReflectorClusterId: bgp.read('routeReflectorClusterID', clusterId),
  };
  const [problem] = problems;
  return problem ? refused(`${problem.field}: ${problem.reason}`) : decoded(node);
}

function timeMs(text: string | undefined): number | undefined {
  const ms = Date.parse(text ?? '');
  return Number.isNaN(ms) ? undefined : ms;
}

const noFields: Fields = Object.freeze({});
