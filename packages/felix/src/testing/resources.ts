// For tests: datastore values as the Neutron driver and operators write them.
import { resourceKey, tapName, workloadEndpointName } from '@calico-openstack/datamodel';

/** A key of etcd and its value. */
export type KeyedValue = { readonly key: string; readonly value: string };

const root = '/calico/resources/v3/projectcalico.org/';

/** A v3 resource. `path` is `<plural>/[<namespace>/]<name>`. */
export function resource(kind: string, path: string, spec: object, metadata: object = {}): KeyedValue {
  const [, ...rest] = path.split('/');
  const [namespace, name] = rest.length === 2 ? rest : [undefined, rest[0]];
  return {
    key: root + path,
    value: JSON.stringify({
      kind,
      apiVersion: 'projectcalico.org/v3',
      metadata: { name, ...(namespace && { namespace }), uid: '00000000-0000-4000-8000-000000000000', creationTimestamp: '2026-11-24T00:00:00Z', ...metadata },
      spec,
    }),
  };
}

/** ClusterInformation of a datastore that is ready. @param spec fields that differ */
export const clusterInformation = (spec: object = {}): KeyedValue =>
  resource('ClusterInformation', 'clusterinformations/default', {
    clusterGUID: '0123456789abcdef0123456789abcdef',
    clusterType: 'openstack',
    datastoreReady: true,
    ...spec,
  });

/** A FelixConfiguration as the driver writes it. @param spec fields that differ */
export const felixConfiguration = (spec: object = {}, name = 'default'): KeyedValue =>
  resource('FelixConfiguration', `felixconfigurations/${name}`, { endpointReportingEnabled: true, interfacePrefix: 'tap', ...spec });

/** A Neutron port. */
export type TestEndpoint = {
  readonly host: string;
  /** The port's id, from whose first characters the tap's name is made. */
  readonly id: string;
  readonly mac: string;
  readonly addresses: readonly string[];
  /** The security groups. */
  readonly groups?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  /** Fields of the WorkloadEndpoint that differ. */
  readonly spec?: object;
  /** `metadata.creationTimestamp`. */
  readonly created?: string;
};

/** One of the endpoints 1 to 9 of `host0`, with an address of each family. */
export const endpointNumber = (number: number, groups: readonly string[] = ['open']): TestEndpoint => ({
  host: 'host0',
  id: `0000000${number}-0000-4000-8000-000000000000`,
  mac: `fa:16:3e:00:00:0${number}`,
  addresses: [`10.65.0.1${number}`, `fd65::1${number}`],
  groups,
});

/** The id of the endpoint's VM. */
export const deviceId = (endpoint: TestEndpoint): string => `vm-${endpoint.id}`;
/** The name of the endpoint's interface on its host. */
export const tapOf = (endpoint: TestEndpoint): string => tapName(endpoint.id);

/** The endpoint's WorkloadEndpoint as the driver writes it. */
export function workloadEndpoint(endpoint: TestEndpoint): KeyedValue {
  const { host, id, mac, addresses, groups = [], labels = {}, spec = {}, created } = endpoint;
  const name = workloadEndpointName({ host, orchestrator: 'openstack', workload: deviceId(endpoint), endpoint: id });
  const gateways = {
    ipv4Gateway: addresses.some((address) => !address.includes(':')) ? '10.65.0.1' : undefined,
    ipv6Gateway: addresses.some((address) => address.includes(':')) ? 'fd65::1' : undefined,
  };
  const { key, value } = resource(
    'WorkloadEndpoint',
    `workloadendpoints/openstack/${name}`,
    {
      orchestrator: 'openstack',
      workload: deviceId(endpoint),
      node: host,
      endpoint: id,
      interfaceName: tapOf(endpoint),
      mac,
      ipNetworks: addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}`),
      allowedIps: [],
      ...gateways,
      ...spec,
    },
    {
      labels: {
        'projectcalico.org/namespace': 'openstack',
        'projectcalico.org/orchestrator': 'openstack',
        ...Object.fromEntries(groups.map((group) => [`sg.projectcalico.org/openstack-${group}`, group])),
        ...labels,
      },
      ...(created && { creationTimestamp: created }),
      annotations: { 'openstack.projectcalico.org/network-id': '99999999-1111-2222-3333-444444444444' },
    },
  );
  return { key, value };
}

/** The key of a NetworkPolicy in the driver's namespace. */
export const networkPolicyKey = (name: string): string => resourceKey({ plural: 'networkpolicies', namespace: 'openstack', name });

/** The NetworkPolicy of a security group as the driver writes it. It allows all egress unless given otherwise. */
export const securityGroup = (
  group: string,
  ingress: readonly object[],
  egress: readonly object[] = [
    { action: 'Allow', ipVersion: 4 },
    { action: 'Allow', ipVersion: 6 },
  ],
): KeyedValue =>
  resource('NetworkPolicy', `networkpolicies/openstack/ossg.default.${group}`, { selector: `has(sg.projectcalico.org/openstack-${group})`, ingress, egress });
