// What an operator writes into the datastore with calicoctl: here, that hosts peer with the router and not with one another.
import { randomUUID } from 'node:crypto';
import type { Plan } from '../plan.ts';
import type { Etcd } from './etcd.ts';

export type Resource = { readonly kind: string; readonly name: string; readonly spec: Readonly<Record<string, unknown>> };

/** A session in each family for every host, with the router's end of its own link. */
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
