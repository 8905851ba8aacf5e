// Endpoints and subnets as the driver writes them, for tests.
import {
  type ExtraDhcpOption,
  encodeExtraDhcpOptions,
  encodeSubnet,
  extraDhcpOptionsAnnotation,
  fqdnAnnotation,
  hostEndpointsPrefix,
  networkIdAnnotation,
  type Subnet,
  subnetKey,
  workloadEndpointName,
  workloadEndpointNamePrefix,
} from '@calico-openstack/datamodel';

export const hostName = 'compute-1';

export type TestPort = {
  readonly id: string;
  readonly tap: string;
  readonly mac: string;
  readonly networkId: string;
  readonly addresses: readonly string[];
  readonly allowedIps?: readonly string[];
  readonly fqdn?: string;
  readonly extra?: readonly ExtraDhcpOption[];
  readonly createdAt?: string;
  readonly device?: string;
};

/** A port of network `net-a`, with an address in each family. @param number one digit, from which its id, tap, MAC and addresses follow */
export const port = (number: number, some: Partial<TestPort> = {}): TestPort => ({
  id: `port-${number}`,
  tap: `tap0000000${number}-aa`,
  mac: `fa:16:3e:00:00:0${number}`,
  networkId: 'net-a',
  addresses: [`10.65.0.1${number}`, `2001:db8:a::1${number}`],
  ...some,
});

const withLength = (address: string): string => `${address}/${address.includes(':') ? 128 : 32}`;

export function endpointKey({ id, device = 'vm' }: TestPort): string {
  const prefix = workloadEndpointNamePrefix(hostName);
  const name = workloadEndpointName({ host: hostName, orchestrator: 'openstack', workload: device, endpoint: id });
  return `${hostEndpointsPrefix(undefined, prefix)}${name.slice(prefix.length)}`;
}

export const endpointValue = (port: TestPort): string =>
  JSON.stringify({
    kind: 'WorkloadEndpoint',
    apiVersion: 'projectcalico.org/v3',
    metadata: {
      name: 'any',
      namespace: 'openstack',
      creationTimestamp: port.createdAt ?? '2026-01-01T00:00:00Z',
      annotations: {
        [networkIdAnnotation]: port.networkId,
        ...(port.fqdn !== undefined && { [fqdnAnnotation]: port.fqdn }),
        ...(port.extra && { [extraDhcpOptionsAnnotation]: encodeExtraDhcpOptions(port.extra) }),
      },
    },
    spec: {
      orchestrator: 'openstack',
      workload: port.device ?? 'vm',
      node: hostName,
      endpoint: port.id,
      interfaceName: port.tap,
      mac: port.mac,
      ipNetworks: port.addresses.map(withLength),
      allowedIps: (port.allowedIps ?? []).map(withLength),
    },
  });

export const keyOfSubnet = (id: string): string => subnetKey(undefined, id);
export const subnetValue = (networkId: string, subnet: Subnet): string => encodeSubnet({ ...subnet, networkId });
export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
