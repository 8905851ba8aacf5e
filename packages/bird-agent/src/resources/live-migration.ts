// LiveMigration: which endpoint a VM is leaving. The one where it arrives is Felix's business.
import { type Decoded, decoded, decodeResource, isFields, refused, resourceKey, workloadEndpointName } from '@calico-openstack/datamodel';

export type Departure = {
  readonly host: string;
  /** The key of the endpoint that the VM leaves. */
  readonly endpointKey: string;
};

/** undefined: it does not say which endpoint the VM leaves, and for this room it is none. */
export function decodeDeparture(bytes: Uint8Array): Decoded<Departure | undefined> {
  const resource = decodeResource(bytes);
  if (!resource.ok) return resource;
  const { source } = resource.value.spec;
  const reference = isFields(source) ? source['workloadEndpoint'] : undefined;
  if (!isFields(reference)) return decoded(undefined);
  const { hostname: host, orchestratorID: orchestrator, workloadID, endpointID: endpoint } = reference;
  const [namespace, workload, more] = typeof workloadID === 'string' ? workloadID.split('/') : [];
  if (typeof host !== 'string' || typeof orchestrator !== 'string' || typeof endpoint !== 'string' || !namespace || !workload || more !== undefined)
    return refused('spec.source.workloadEndpoint does not name an endpoint');
  return decoded({
    host,
    endpointKey: resourceKey({ plural: 'workloadendpoints', namespace, name: workloadEndpointName({ host, orchestrator, workload, endpoint }) }),
  });
}
