// Computes the expected content of etcd after the demo's story: every key, and every field of every value.
// Ids, names and addresses are those that Neutron reports. For uids, times and process numbers only the form is checked.
import { expect } from 'vitest';
import type { Lab } from '../lab.ts';
import type { Port, SecurityGroup } from '../openstack.ts';
import { bgpResources } from '../services/operator.ts';
import { type Content, shop } from '../story/content.ts';
import type { Vm } from '../vm.ts';

type Json = Readonly<Record<string, unknown>>;
/** Values by key. A value may be one of vitest's patterns. */
export type Keys = Readonly<Record<string, unknown>>;

const uid = expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
const region = 'no-region';
const namespace = 'openstack';

const resourceKey = (plural: string, ...names: readonly string[]): string => ['/calico/resources/v3/projectcalico.org', plural, ...names].join('/');

const resource = (kind: string, metadata: Json, spec: Json): Json => ({
  kind,
  apiVersion: 'projectcalico.org/v3',
  metadata: { uid, creationTimestamp: time, ...metadata },
  spec,
});

/** Neutron's objects of the story. */
export type Facts = {
  readonly content: Content;
  /** The remaining ports, as Neutron shows them. */
  readonly ports: readonly (Port & { readonly project_id: string; readonly dns_assignment: readonly { readonly fqdn: string }[] })[];
  /** The project's default group, which Neutron creates by itself, and the groups of the story. */
  readonly defaultGroup: SecurityGroup;
  readonly projectId: string;
};

/** The expected values by key, parsed where they are JSON. */
export function expectedKeys(lab: Lab, facts: Facts): Keys {
  return Object.fromEntries([...ofOperator(lab), ...ofCluster(), ...ofHosts(lab), ...ofSubnets(facts), ...ofGroups(facts), ...ofVms(facts)]);
}

type Entry = readonly [key: string, value: unknown];

/** The resources that the lab's operator has written. */
const ofOperator = (lab: Lab): Entry[] =>
  bgpResources(lab.plan).map(({ kind, name, spec }) => [resourceKey(`${kind.toLowerCase()}s`, name), resource(kind, { name }, spec)]);

const ofCluster = (): Entry[] => {
  const leader = expect.stringMatching(/^[^:]+:\d+$/);
  return [
    [
      resourceKey('clusterinformations', 'default'),
      resource(
        'ClusterInformation',
        { name: 'default' },
        { clusterGUID: expect.stringMatching(/^[0-9a-f]{32}$/), clusterType: 'openstack', datastoreReady: true },
      ),
    ],
    [
      resourceKey('felixconfigurations', 'default'),
      resource('FelixConfiguration', { name: 'default' }, { endpointReportingEnabled: true, interfacePrefix: 'tap', workloadSourceSpoofing: 'Any' }),
    ],
    [`/calico/openstack/v2/${region}/neutron_election`, leader],
    ['/calico/openstack/v1/neutron_election', leader],
  ];
};

/** The agents beside Felix that write a heartbeat. */
export const agents = ['calico-dhcp-agent', 'calico-bird-agent'] as const;

const ofHosts = (lab: Lab): Entry[] =>
  lab.plan.hosts.flatMap(({ name, link, asNumber }): Entry[] => {
    const alive = { time, uptime: expect.any(Number), first_update: expect.any(Boolean) };
    const bgp = { ipv4Address: `${link.machine4}/30`, ipv6Address: `${link.machine6}/64`, asNumber };
    // The BIRD agent's own annotation, by which it later recognises the values that it wrote.
    const annotations = { 'openstack.projectcalico.org/registered-bgp': JSON.stringify(bgp) };
    return [
      [resourceKey('nodes', name), resource('Node', { name, annotations }, { bgp })],
      [`/calico/felix/v2/${region}/host/${name}/status`, alive],
      [`/calico/felix/v2/${region}/host/${name}/last_reported_status`, alive],
      ...agents.map((agent): Entry => [`/calico/openstack/v2/${region}/agent/${name}/${agent}`, alive]),
    ];
  });

const ofSubnets = ({ content: { network, subnets } }: Facts): Entry[] => [
  [
    `/calico/dhcp/v2/${region}/subnet/${subnets[4].id}`,
    { network_id: network.id, cidr: shop.cidr4, gateway_ip: shop.gateway4, host_routes: [], dns_servers: [shop.dns4] },
  ],
  [
    `/calico/dhcp/v2/${region}/subnet/${subnets[6].id}`,
    {
      network_id: network.id,
      cidr: shop.cidr6,
      gateway_ip: shop.gateway6,
      host_routes: [],
      ipv6_ra_mode: 'dhcpv6-stateful',
      ipv6_address_mode: 'dhcpv6-stateful',
    },
  ],
];

function ofGroups({ content: { groups }, defaultGroup }: Facts): Entry[] {
  const memberOf = (group: SecurityGroup): string => `has(sg.projectcalico.org/openstack-${group.id})`;
  const anywhere = [
    { action: 'Allow', ipVersion: 4 },
    { action: 'Allow', ipVersion: 6 },
  ];
  const policy = (group: SecurityGroup, ingress: readonly Json[]): Entry => {
    const name = `ossg.default.${group.id}`;
    const spec = { selector: memberOf(group), ingress, egress: anywhere };
    return [resourceKey('networkpolicies', namespace, name), resource('NetworkPolicy', { name, namespace }, spec)];
  };
  const from = (group: SecurityGroup): Json => ({ source: { selector: memberOf(group) } });
  return [
    policy(groups.web, [
      { action: 'Allow', ipVersion: 4, protocol: 'ICMP', ...from(groups.clients) },
      { action: 'Allow', ipVersion: 4, protocol: 6, ...from(groups.clients), destination: { ports: [80] } },
      { action: 'Allow', ipVersion: 6, protocol: 'ICMPv6', ...from(groups.clients) },
      { action: 'Allow', ipVersion: 6, protocol: 6, ...from(groups.clients), destination: { ports: [80] } },
    ]),
    policy(groups.clients, []),
    policy(
      defaultGroup,
      anywhere.map((rule) => ({ ...rule, ...from(defaultGroup) })),
    ),
  ];
}

/** The keys of the elected driver's compaction. It writes them at once, or when it looks again a minute later. */
export const compactionKeys: Keys = {
  '/calico/compaction/v1/trigger': expect.stringMatching(/^\d+$/),
  '/calico/compaction/v1/last': expect.stringMatching(/^\d+$/),
};

/** The remaining VMs: client-2 was deleted, batch-1 has moved to the group clients. */
function ofVms({ content: { network, groups, vms }, ports, projectId }: Facts): Entry[] {
  const left = [
    [vms.web1, groups.web],
    [vms.web2, groups.web],
    [vms.client1, groups.clients],
    [vms.batch1, groups.clients],
  ] as const;
  return left.flatMap(([vm, group]): Entry[] => {
    const { deviceId, portId, mac, host } = vm.facts;
    const port = ports.find(({ id }) => id === portId);
    const name = [host, namespace, deviceId, portId].map((part, index) => (index === 1 ? part : part.replaceAll('-', '--'))).join('-');
    const labels = {
      [`sg.projectcalico.org/openstack-${group.id}`]: group.name,
      [`sg-name.projectcalico.org/openstack-${group.name}`]: group.id,
      'projectcalico.org/namespace': namespace,
      'projectcalico.org/orchestrator': 'openstack',
      'projectcalico.org/openstack-project-id': projectId,
      'projectcalico.org/openstack-project-name': 'admin',
      'projectcalico.org/openstack-project-parent-id': 'default',
      'projectcalico.org/openstack-network-name': shop.name,
    };
    const annotations = {
      'openstack.projectcalico.org/network-id': network.id,
      'openstack.projectcalico.org/fqdn': port?.dns_assignment[0]?.fqdn ?? 'Neutron does not know the port',
    };
    const spec = {
      orchestrator: 'openstack',
      workload: deviceId,
      node: host,
      endpoint: portId,
      interfaceName: `tap${portId.slice(0, 11)}`,
      mac,
      ipNetworks: ipNetworks(vm),
      ipv4Gateway: shop.gateway4,
      ipv6Gateway: shop.gateway6,
    };
    return [
      [resourceKey('workloadendpoints', namespace, name), resource('WorkloadEndpoint', { name, namespace, labels, annotations }, spec)],
      [`/calico/felix/v2/${region}/host/${host}/workload/openstack/${namespace}%2f${deviceId}/endpoint/${portId}`, { status: 'up' }],
    ];
  });
}

const ipNetworks = ({ address4, address6 }: Vm): string[] => [`${address4}/32`, `${address6}/128`];
