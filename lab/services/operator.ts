// Writes the BGP resources that an operator would write to the datastore with calicoctl.
import { randomUUID } from 'node:crypto';
import { type Host, type Plan, reflectorsOf } from '../plan.ts';
import type { Etcd } from './etcd.ts';

/** A resource of Calico's without namespace. */
export type Resource = {
  readonly kind: string;
  readonly name: string;
  readonly spec: Readonly<Record<string, unknown>>;
  readonly labels?: Readonly<Record<string, string>>;
};

/** The BGP resources of the plan's topology. */
export function bgpResources(plan: Plan): Resource[] {
  switch (plan.topology) {
    case 'mesh':
      return [{ kind: 'BGPConfiguration', name: 'default', spec: { nodeToNodeMeshEnabled: true } }];
    case 'reflectors':
      return [{ kind: 'BGPConfiguration', name: 'default', spec: { nodeToNodeMeshEnabled: false } }, ...reflectorResources(plan)];
    case 'router':
    case 'racks':
      return [{ kind: 'BGPConfiguration', name: 'default', spec: { nodeToNodeMeshEnabled: false } }, ...plan.hosts.flatMap(routerPeers)];
    default:
      return plan.topology satisfies never;
  }
}

/** A session in each family for the host, with the router's end of its own link. */
const routerPeers = ({ name, link, router: { asNumber } }: Host): Resource[] =>
  [link.router4, link.router6].map((peerIP, index) => ({
    kind: 'BGPPeer',
    name: `router-${name}-v${index === 0 ? 4 : 6}`,
    spec: { node: name, peerIP, asNumber },
  }));

/** Some hosts reflect routes, for all the others and for one another. Their Nodes say so, and their agents fill in the addresses. */
function reflectorResources(plan: Plan): Resource[] {
  const reflectors = reflectorsOf(plan).map(({ name }) => ({
    kind: 'Node',
    name,
    spec: { bgp: { routeReflectorClusterID: '172.16.0.1' } },
    labels: { 'route-reflector': 'true' },
  }));
  const peer = (name: string, nodeSelector: string): Resource => ({ kind: 'BGPPeer', name, spec: { nodeSelector, peerSelector: 'has(route-reflector)' } });
  return [...reflectors, peer('reflectors', '!has(route-reflector)'), ...(reflectors.length > 1 ? [peer('among-reflectors', 'has(route-reflector)')] : [])];
}

/** Writes them to etcd. */
export async function writeOperatorResources(etcd: Etcd, plan: Plan): Promise<void> {
  await Promise.all(bgpResources(plan).map((resource) => etcd.ctl('put', keyOf(resource), resourceText(resource))));
}

const keyOf = ({ kind, name }: Resource): string => `/calico/resources/v3/projectcalico.org/${kind.toLowerCase()}s/${name}`;

const resourceText = ({ kind, name, spec, labels }: Resource): string =>
  JSON.stringify({
    kind,
    apiVersion: 'projectcalico.org/v3',
    metadata: { name, ...(labels && { labels }), uid: randomUUID(), creationTimestamp: new Date().toISOString().replace(/\.\d+/, '') },
    spec,
  });
