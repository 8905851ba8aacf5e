// What the DHCP agent reads out of a WorkloadEndpoint.
import { addressOf, type IpAddress, isHostCidr } from '@calico-openstack/addresses';
import { type Decoded, decoded, decodeWorkloadEndpoint, fqdnAnnotation, networkIdAnnotation, refused } from '@calico-openstack/datamodel';

/** One bound port of this host. */
export type Endpoint = {
  /** Its key in etcd: names it in logs, and orders what is equal otherwise. */
  readonly key: string;
  readonly tap: string;
  readonly mac: string;
  readonly networkId: string;
  /** What DHCP may hand out: its fixed addresses, not the allowed address pairs. */
  readonly leasable: readonly IpAddress[];
  readonly fqdn: string | undefined;
  /** As `WorkloadEndpoint` has it. */
  readonly createdMs: number;
};

/**
 * Taps' names become file names, tags in Dnsmasq's files and links to ask the kernel about. Nova's are `tap` and eleven characters of [-0-9a-f];
 * Dnsmasq serves what begins with `tap` and leaves files alone that begin with a dot or end with a tilde.
 */
export const isTapName = (name: string): boolean => /^tap[-._A-Za-z0-9]{1,12}$/.test(name);

/** Refused: what cannot be served, with the reason. */
export function decodeEndpoint(key: string, value: Uint8Array): Decoded<Endpoint> {
  const workload = decodeWorkloadEndpoint(value);
  if (!workload.ok) return workload;
  const { interfaceName, mac, annotations, ipNetworks, allowedIps, createdMs } = workload.value;
  if (!isTapName(interfaceName)) return refused(`interfaceName ${JSON.stringify(interfaceName)} is not a tap's name`);
  if (mac === undefined) return refused('it has no MAC');
  if ((Number.parseInt(mac.slice(0, 2), 16) & 1) !== 0) return refused(`its MAC ${mac} is not one interface's`);
  const networkId = annotations[networkIdAnnotation];
  if (networkId === undefined) return refused(`it does not name its network (annotation ${networkIdAnnotation})`);
  return decoded({
    key,
    tap: interfaceName,
    mac,
    networkId,
    leasable: ipNetworks.filter((cidr) => isHostCidr(cidr) && !allowedIps.includes(cidr)).map(addressOf),
    fqdn: annotations[fqdnAnnotation],
    createdMs,
  });
}
