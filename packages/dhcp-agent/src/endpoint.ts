// Decodes what the DHCP agent needs of a WorkloadEndpoint.
import { addressOf, type IpAddress, isHostCidr } from '@calico-openstack/addresses';
import {
  type Decoded,
  decoded,
  decodeExtraDhcpOptions,
  decodeWorkloadEndpoint,
  extraDhcpOptionsAnnotation,
  fqdnAnnotation,
  networkIdAnnotation,
  refused,
} from '@calico-openstack/datamodel';

/** One bound port of this host. */
export type Endpoint = {
  /** The endpoint's key in etcd. It names the endpoint in logs, and orders endpoints that are equal otherwise. */
  readonly key: string;
  readonly tap: string;
  readonly mac: string;
  readonly networkId: string;
  /** The addresses that DHCP may hand out: the port's fixed addresses, not the allowed address pairs. */
  readonly leasable: readonly IpAddress[];
  readonly fqdn: string | undefined;
  /** The options that the tenant gave the port, and why some of them cannot be sent. */
  readonly extraDhcp: ReturnType<typeof decodeExtraDhcpOptions>;
  /** When the port was created, in milliseconds since 1970 (`WorkloadEndpoint`'s `createdMs`). */
  readonly createdMs: number;
};

/**
 * Whether the name can be a served tap's. Names of taps become file names, tags in Dnsmasq's files and links to ask the kernel about. Nova's are `tap` and eleven of [-0-9a-f].
 * Dnsmasq serves interfaces whose names begin with `tap`, and skips files whose names begin with a dot or end with a tilde.
 */
export const isTapName = (name: string): boolean => /^tap[-._A-Za-z0-9]{1,12}$/.test(name);

/** Decodes a WorkloadEndpoint (Calico API v3, JSON). Refuses an endpoint that cannot be served, with the reason. */
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
    extraDhcp: decodeExtraDhcpOptions(annotations[extraDhcpOptionsAnnotation] ?? '[]'),
    createdMs,
  });
}
