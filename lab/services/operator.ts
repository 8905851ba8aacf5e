// What an operator would write into the datastore with calicoctl: hosts peer with the router, and not with one another.
import { randomUUID } from 'node:crypto';
import type { Plan } from '../plan.ts';
import type { Etcd } from './etcd.ts';

/** A resource of Calico's without namespace. */
export type Resource = { readonly kind: string; readonly name: string; readonly spec: Readonly<Record<string, unknown>> };

/** The BGP resources: a session in each family between every host and the router's end of its link. */
export const bgpResources = ({ router, hosts }: Plan): Resource[] => [
  { kind: 'BGPConfiguration', name: 'default', spec: { nodeToNodeMeshEnabled: false } },
  ...hosts.flatMap(({ name, link }) =>
    [link.router4, link.router6].map((peerIP, index) => ({
      kind: 'BGPPeer',
      name: `router-${name}-v${index === 0 ? 4 : 6}`,
      spec: { node: name, peerIP, asNumber: router.asNumber },
    })),
  ),
];

/** Writes them to etcd. */
export async function writeOperatorResources(etcd: Etcd, plan: Plan): Promise<void> {
  await Promise.all(bgpResources(plan).map((resource) => etcd.ctl('put', keyOf(resource), resourceText(resource))));
}

const keyOf = ({ kind, name }: Resource): string => `/calico/resources/v3/projectcalico.org/${kind.toLowerCase()}s/${name}`;

const resourceText = ({ kind, name, spec }: Resource): string =>
  JSON.stringify({
    kind,
    apiVersion: 'projectcalico.org/v3',
    metadata: { name, uid: randomUUID(), creationTimestamp: new Date().toISOString().replace(/\.\d+/, '') },
    spec,
  });
