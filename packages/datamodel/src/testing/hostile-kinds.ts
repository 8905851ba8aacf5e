// An example of every kind of Calico's resources, as its writers write it; hostile.ts corrupts them. Their names, addresses, interfaces and labels do not overlap with those
// that tests use to check that the rest still works.
import { namespacedPlurals, type Plural, resourcePrefix } from '../keys.ts';
import { workloadEndpointName } from '../names.ts';
import type { HostileKind } from './hostile.ts';

const numbered = (count: number, make: (index: number) => string): string[] => Array.from({ length: count }, (_, index) => make(index));
const resource = (kind: string, spec: object, metadata: object = {}): object => ({
  kind,
  apiVersion: 'projectcalico.org/v3',
  metadata: { name: 'hostile', uid: '00000000-0000-4000-8000-000000000000', creationTimestamp: '2026-11-24T00:00:00Z', ...metadata },
  spec,
});

/** A WorkloadEndpoint on a tap that does not exist. */
export const hostileEndpoint = resource(
  'WorkloadEndpoint',
  {
    orchestrator: 'openstack',
    interfaceName: 'taphostile-1',
    mac: 'fa:16:3e:20:00:01',
    ipNetworks: ['10.200.0.1/32', '2001:db8:200::1/128'],
    allowedIps: ['10.200.0.9/32'],
    ipv4Gateway: '10.200.0.254',
    ipv6Gateway: '2001:db8:200::254',
    ipNATs: [{ internalIP: '10.200.0.1', externalIP: '203.0.113.200' }],
    profiles: ['hostile-1'],
    allowSpoofedSourcePrefixes: ['10.202.0.0/24'],
    ports: [{ name: 'web', protocol: 'TCP', port: 80 }],
    qosControls: { ingressBandwidth: 1000000 },
  },
  {
    labels: { hostile: 'yes', 'projectcalico.org/namespace': 'openstack' },
    annotations: { 'openstack.projectcalico.org/network-id': 'hostile-net', 'openstack.projectcalico.org/fqdn': 'vm.example.' },
  },
);

/** A subnet as the DHCP agents read it. */
export const hostileSubnet = {
  network_id: 'hostile-net',
  cidr: '10.200.0.0/24',
  gateway_ip: '10.200.0.254',
  host_routes: [{ destination: '10.99.0.0/16', nexthop: '10.200.0.7' }],
  dns_servers: ['10.1.1.1'],
  ipv6_ra_mode: 'dhcpv6-stateful',
  ipv6_address_mode: 'dhcpv6-stateful',
};

const hostileOnly = 'hostile == "yes"';
const rules = [
  {
    action: 'Allow',
    protocol: 'TCP',
    source: { selector: hostileOnly, ports: ['web', 1024] },
    destination: { ports: [80, '443:445', 'web'], notPorts: ['dns'] },
  },
  { action: 'Deny', ipVersion: 4, protocol: 'ICMP', icmp: { type: 8, code: 0 }, source: { nets: ['10.200.0.0/16'], notNets: ['10.200.3.0/24'] } },
  { action: 'Log', notProtocol: 6, destination: { notSelector: hostileOnly, namespaceSelector: 'all()' } },
  { action: 'Pass', notICMP: { type: 3 }, source: { serviceAccounts: { names: ['a'], selector: 'has(b)' } } },
];
const policy = { selector: hostileOnly, order: 100, types: ['Ingress', 'Egress'], ingress: rules, egress: rules.slice(1) };
const selectedHost = { hostname: 'host-9', orchestratorID: 'openstack', workloadID: 'openstack/vm', endpointID: 'port' };

const examples: Partial<Record<Plural, readonly object[]>> = {
  networkpolicies: [resource('NetworkPolicy', policy)],
  globalnetworkpolicies: [resource('GlobalNetworkPolicy', { ...policy, tier: 'hostile-1', applyOnForward: true }), resource('GlobalNetworkPolicy', policy)],
  networksets: [resource('NetworkSet', { nets: ['10.200.0.0/24', '2001:db8:200::/64'] }, { labels: { hostile: 'yes' } })],
  globalnetworksets: [resource('GlobalNetworkSet', { nets: ['10.200.0.0/24', '10.200.0.7'] }, { labels: { hostile: 'yes' } })],
  tiers: [resource('Tier', { order: 7, defaultAction: 'Deny' })],
  profiles: [resource('Profile', { labelsToApply: { inherited: 'x' }, ingress: rules, egress: [{ action: 'Allow' }] })],
  hostendpoints: [
    resource(
      'HostEndpoint',
      { node: 'host0', interfaceName: 'hostile0', expectedIPs: ['10.200.9.1'], profiles: ['hostile-1'], ports: [] },
      { labels: { hostile: 'yes' } },
    ),
  ],
  ippools: [resource('IPPool', { cidr: '10.200.0.0/16', natOutgoing: true, ipipMode: 'Never' })],
  livemigrations: [resource('LiveMigration', { source: { workloadEndpoint: selectedHost }, target: { workloadEndpoint: selectedHost } })],
  nodes: [resource('Node', { bgp: { ipv4Address: '10.200.200.1/32', ipv6Address: '2001:db8:200::9/128', asNumber: 64999 } }, { labels: { rack: 'hostile' } })],
  bgppeers: [
    resource('BGPPeer', { peerIP: '10.200.200.7', asNumber: 64998, filters: ['hostile-1'], nodeSelector: 'rack == "hostile"', keepOriginalNextHop: true }),
    resource('BGPPeer', { node: 'hostile-1', peerSelector: 'rack == "hostile"', password: { secretKeyRef: { name: 'x', key: 'y' } }, maxRestartTime: '120s' }),
    resource('BGPPeer', { localWorkloadSelector: 'rack == "hostile"', asNumber: 64997, filters: ['hostile-1'], nodeSelector: 'all()' }),
  ],
  bgpconfigurations: [
    resource('BGPConfiguration', {
      asNumber: 64512,
      nodeToNodeMeshEnabled: true,
      nodeMeshPassword: { secretKeyRef: { name: 'x', key: 'y' } },
      nodeMeshMaxRestartTime: '120s',
      listenPort: 179,
      communities: [{ name: 'c', value: '64512:120' }],
      prefixAdvertisements: [{ cidr: '10.200.0.0/16', communities: ['c', '64512:1'] }],
      serviceClusterIPs: [{ cidr: '10.200.0.0/24' }],
      logSeverityScreen: 'Info',
      ignoredInterfaces: ['eth9'],
      localWorkloadPeeringIPV4: '169.254.0.179',
      localWorkloadPeeringIPV6: 'fd12:3456::179',
    }),
  ],
  bgpfilters: [
    resource('BGPFilter', {
      exportV4: [{ action: 'Accept', matchOperator: 'In', cidr: '10.200.0.0/16', prefixLength: { min: 16, max: 24 } }],
      importV6: [{ action: 'Reject', matchOperator: 'NotEqual', cidr: '2001:db8:200::/48', source: 'RemotePeers', interface: 'eth*' }],
    }),
  ],
  felixconfigurations: [
    resource(
      'FelixConfiguration',
      {
        endpointReportingEnabled: true,
        interfacePrefix: 'tap',
        reportingInterval: '30s',
        logPrefix: 'p-%t',
        failsafeInboundHostPorts: [{ protocol: 'tcp', port: 22, net: '0.0.0.0/0' }],
        nftablesRefreshInterval: '90s',
        workloadSourceSpoofing: 'Any',
        ipv6Support: true,
        metadataAddr: 'none',
      },
      { annotations: { 'config.projectcalico.org/HealthPort': '9099' } },
    ),
  ],
  stagednetworkpolicies: [resource('StagedNetworkPolicy', policy)],
};

/** The kinds of resources that the policy calculation reads. */
export const policyPlurals: readonly Plural[] = [
  'workloadendpoints',
  'networkpolicies',
  'globalnetworkpolicies',
  'networksets',
  'globalnetworksets',
  'tiers',
  'profiles',
  'hostendpoints',
  'ippools',
  'livemigrations',
];

/** The kinds with these plurals, for `hostileWrites`. Namespaced ones are in the namespace `openstack`; some of the keys concern `host`. */
export function hostileKinds(plurals: readonly Plural[], host = 'host0'): HostileKind[] {
  return plurals.flatMap((plural): HostileKind[] => {
    const isNamespaced = (namespacedPlurals as readonly string[]).includes(plural);
    const prefix = resourcePrefix(plural, isNamespaced ? 'openstack' : undefined);
    if (plural === 'workloadendpoints')
      return [
        {
          prefix,
          examples: [hostileEndpoint],
          names: [host, 'host-9'].flatMap((of) =>
            numbered(10, (index) => workloadEndpointName({ host: of, orchestrator: 'openstack', workload: 'vm', endpoint: `hostile-${index}` })),
          ),
        },
      ];
    const names = numbered(10, (index) => `hostile-${index}`);
    if (plural === 'felixconfigurations' || plural === 'bgpconfigurations') names.unshift('default', `node.${host}`);
    if (plural === 'nodes') names.unshift(host);
    return [{ prefix, examples: examples[plural] ?? [resource(plural, {})], names }];
  });
}
