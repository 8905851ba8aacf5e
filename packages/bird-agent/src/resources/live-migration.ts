// Decodes LiveMigrations: which endpoint a VM leaves. Its destination is handled by Felix.
import { type Decoded, decoded, decodeResource, isFields, refused, resourceKey, workloadEndpointName } from '@calico-openstack/datamodel';

/** A VM that leaves a host. */
export type Departure = {
  readonly host: string;
  /** The key of the endpoint that the VM leaves. */
  readonly endpointKey: string;
};

/** Decodes a LiveMigration; undefined when it does not name the endpoint that the VM leaves, and so does not matter here. */
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
