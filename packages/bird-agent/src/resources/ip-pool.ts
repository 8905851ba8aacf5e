// Decodes IPPools, which hold the addresses of workloads. Only their prefixes matter here.
import type { Cidr } from '@calico-openstack/addresses';
import { type Decoded, decodeResource, refused } from '@calico-openstack/datamodel';
import { cidr } from './values.ts';

/** The prefix of an IPPool. */
export function decodeIpPool(bytes: Uint8Array): Decoded<Cidr> {
  const resource = decodeResource(bytes);
  if (!resource.ok) return resource;
  const parsed = cidr()(resource.value.spec['cidr']);
  return parsed.ok ? parsed : refused(`spec.cidr: ${parsed.reason}`);
}
