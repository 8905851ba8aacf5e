// Decodes the parts of BGPPeer and BGPConfiguration that decide with which workloads a host speaks BGP, and from which addresses.
import type { IpAddress } from '@calico-openstack/addresses';
import { workloadPeeringAddress, workloadPeeringFields } from '@calico-openstack/datamodel';
import type { Expression } from '../selector/expression.ts';
import { fieldNames, isIntegerBetween, readFields, readText } from './fields.ts';
import { type Reading, readResource } from './reading.ts';
import { readSelector } from './scope.ts';

/** `hosts` are the hosts to which it applies; undefined when it applies to all. */
export type WorkloadPeer = { readonly workloads: Expression; readonly hosts: { readonly name: string } | { readonly labels: Expression } | undefined };

const peerFields = fieldNames('localWorkloadSelector', 'node', 'nodeSelector');

/** A BGPPeer that is not for workloads has no value and no defects, because only the BIRD agent uses it. A BGPPeer that is not understood selects no workload. */
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

/** A port of a BGPConfiguration. 0 counts as absent. */
export type PeeringSettings = { readonly addresses: readonly IpAddress[]; readonly port: number | undefined };

const settingsFields = fieldNames(workloadPeeringFields[4], workloadPeeringFields[6], 'listenPort');

/** The settings of a BGPConfiguration for sessions with workloads. An address that is not understood counts as absent, and is reported. */
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
