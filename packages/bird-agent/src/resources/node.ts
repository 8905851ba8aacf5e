// Decodes Nodes, which describe hosts as BGP speakers. This agent writes its own host's Node; operators may set values in it.
import type { IpAddress } from '@calico-openstack/addresses';
import { type Decoded, decoded, decodeResource, type Fields, type Labels, refused } from '@calico-openstack/datamodel';
import { type FieldProblem, object, readFields } from './fields.ts';
import { asNumber, clusterId, type InterfaceAddress, interfaceAddress } from './values.ts';

/** A Node. */
export type Node = {
  readonly name: string;
  readonly labels: Labels;
  /** When it was created, in milliseconds since 1970; undefined when that is not known. */
  readonly madeMs: number | undefined;
  /** When its host last claimed the Node's addresses, in milliseconds since 1970; 0 when it never did. */
  readonly claimedMs: number;
  readonly addresses: { readonly 4: InterfaceAddress | undefined; readonly 6: InterfaceAddress | undefined };
  /** The AS number. When undefined, the one of BGPConfiguration `default` applies. */
  readonly asNumber: number | undefined;
  /** Set when this host is a route reflector of that cluster, and so takes no part in the mesh. */
  readonly routeReflectorClusterId: IpAddress | undefined;
};

/**
 * The annotation with the time at which a host claimed its Node's addresses. It does so only when another Node has one of them: the Node of a host that was renamed or rebuilt
 * is left behind, and nobody claims addresses for it.
 */
export const claimedAnnotation = 'openstack.projectcalico.org/addresses-claimed';

/** Decodes a Node. One invalid field of `spec.bgp` refuses it, because half a speaker would be a guess. */
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
