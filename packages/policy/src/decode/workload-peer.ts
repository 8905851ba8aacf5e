// BGPPeer and BGPConfiguration: what of them says which workloads their host speaks BGP with, and from where.
import type { IpAddress } from '@calico-openstack/addresses';
import { workloadPeeringAddress, workloadPeeringFields } from '@calico-openstack/datamodel';
import type { Expression } from '../selector/expression.ts';
import { fieldNames, isIntegerBetween, readFields, readText } from './fields.ts';
import { type Reading, readResource } from './reading.ts';
import { readSelector } from './scope.ts';

/** `hosts` are the hosts to which it applies; undefined when it applies to all. */
export type WorkloadPeer = { readonly workloads: Expression; readonly hosts: { readonly name: string } | { readonly labels: Expression } | undefined };

const peerFields = fieldNames('localWorkloadSelector', 'node', 'nodeSelector');

/** A BGPPeer that is not for workloads has no value and no defects: it is the BIRD agent's alone. What is not understood selects nobody. */
export function decodeWorkloadPeer(bytes: Uint8Array): Reading<WorkloadPeer> {
  return readResource(bytes, ({ spec }, complain) => {
    const { fields } = readFields(spec, peerFields);
    if (fields.localWorkloadSelector === undefined || fields.localWorkloadSelector === '') return undefined;
    const [workloads, node, labels] = [readSelector(fields.localWorkloadSelector), readText(fields.node), readSelector(fields.nodeSelector)];
    if (workloads.ok && workloads.value && node.ok && labels.ok) {
      if (node.value === undefined) return { workloads: workloads.value, hosts: labels.value && { labels: labels.value } };
      if (!labels.value) return { workloads: workloads.value, hosts: { name: node.value } };
    }
    complain('spec.localWorkloadSelector, node or nodeSelector is not understood: no workload peers by it');
    return undefined;
  });
}

/** What a BGPConfiguration says; 0 is how an absent port may be written. */
export type PeeringSettings = { readonly addresses: readonly IpAddress[]; readonly port: number | undefined };

const settingsFields = fieldNames(workloadPeeringFields[4], workloadPeeringFields[6], 'listenPort');

/** What a BGPConfiguration says about sessions with workloads. An address that is not understood is absent, and named. */
export function decodePeeringSettings(bytes: Uint8Array): Reading<PeeringSettings> {
  return readResource(bytes, ({ spec }, complain) => {
    const { fields } = readFields(spec, settingsFields);
    const addresses = ([4, 6] as const).flatMap((family) => {
      const value = fields[workloadPeeringFields[family]];
      if (value === undefined || value === '') return [];
      const address = workloadPeeringAddress(value, family);
      if (!address.ok) complain(`spec.${workloadPeeringFields[family]}: ${address.reason}`);
      return address.ok ? [address.value] : [];
    });
    return { addresses, port: isIntegerBetween(fields.listenPort, 1, 65535) ? fields.listenPort : undefined };
  });
}
