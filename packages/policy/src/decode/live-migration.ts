// Decodes a LiveMigration: which endpoint a VM leaves, and which one it arrives at.
import { isFields, show } from '@calico-openstack/datamodel';
import { canonical, type Selector } from '../selector/canonical.ts';
import { fieldNames, readFields, readText } from './fields.ts';
import { type Reading, readResource } from './reading.ts';
import { readSelector } from './scope.ts';

/** Names one endpoint, or all endpoints of a workload when `endpoint` is absent. `workload` is `<namespace>/<device_id>`. */
export type MigrationReference = { readonly host: string; readonly orchestrator: string; readonly workload: string; readonly endpoint?: string };
/** A LiveMigration. The target may be given by name, by selector, or both. */
export type LiveMigrationDefinition = { readonly source?: MigrationReference; readonly target?: MigrationReference; readonly targetSelector?: Selector };

const migrationFields = fieldNames('source', 'target');
const sideFields = fieldNames('workload', 'workloadEndpoint', 'selector');
const referenceFields = fieldNames('hostname', 'orchestratorID', 'workloadID', 'endpointID');

/** A side that is absent, incomplete or not understood concerns no endpoint. */
export function decodeLiveMigration(bytes: Uint8Array): Reading<LiveMigrationDefinition> {
  return readResource(bytes, ({ spec }, complain) => {
    const { fields } = readFields(spec, migrationFields);
    const side = (name: 'source' | 'target') => {
      const content = fields[name] ?? {};
      if (isFields(content)) return readFields(content, sideFields).fields;
      complain(`spec.${name} is ${show(content)}, not an object`);
      return {};
    };
    const [from, to] = [side('source'), side('target')];
    const source = readReference(from.workloadEndpoint ?? from.workload, 'spec.source', complain);
    const target = readReference(to.workloadEndpoint, 'spec.target', complain);
    const selector = readSelector(to.selector);
    if (!selector.ok) complain(`spec.target.selector ${selector.reason}`);
    return { ...(source && { source }), ...(target && { target }), ...(selector.ok && selector.value && { targetSelector: canonical(selector.value) }) };
  });
}

function readReference(value: unknown, where: string, complain: (reason: string) => void): MigrationReference | undefined {
  if (value === undefined) return undefined;
  const { hostname, orchestratorID, workloadID, endpointID } = isFields(value) ? readFields(value, referenceFields).fields : {};
  const [host, orchestrator, workload, endpoint] = [readText(hostname), readText(orchestratorID), readText(workloadID), readText(endpointID)];
  if (host.ok && orchestrator.ok && workload.ok && endpoint.ok) {
    if (host.value === undefined || orchestrator.value === undefined || workload.value === undefined) return undefined;
    return { host: host.value, orchestrator: orchestrator.value, workload: workload.value, ...(endpoint.value !== undefined && { endpoint: endpoint.value }) };
  }
  complain(`${where} does not name an endpoint`);
  return undefined;
}
