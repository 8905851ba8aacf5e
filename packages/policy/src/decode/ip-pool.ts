// Decodes an IPPool, as far as it matters to NAT.
import { parseCidr } from '@calico-openstack/addresses';
import { type IpPool, show } from '@calico-openstack/datamodel';
import { fieldNames, readFields, readFlag } from './fields.ts';
import { type Reading, readResource } from './reading.ts';

const poolFields = fieldNames('cidr', 'natOutgoing', 'allowedUses');

/** Absent when the prefix is not understood, and for a pool of load balancers' addresses alone: those are outside of the cluster for its workloads. */
export function decodeIpPool(bytes: Uint8Array): Reading<IpPool> {
  return readResource(bytes, ({ spec }, complain) => {
    const { fields } = readFields(spec, poolFields);
    const cidr = typeof fields.cidr === 'string' ? parseCidr(fields.cidr) : undefined;
    if (!cidr) {
      complain(`spec.cidr is ${show(fields.cidr)}, not a prefix; the pool counts as absent`);
      return undefined;
    }
    const uses = fields.allowedUses;
    if (Array.isArray(uses) && uses.length > 0 && uses.every((use) => use === 'LoadBalancer')) return undefined;
    const natOutgoing = readFlag(fields.natOutgoing);
    if (!natOutgoing.ok) complain(`spec.natOutgoing ${natOutgoing.reason}; it counts as false`);
    return { cidr, natOutgoing: natOutgoing.ok && natOutgoing.value };
  });
}
