import { describe, expect, test } from 'vitest';
import { bindingRow, deviceId, floatingIpRow, groupId, networkId, portId, portRow, projectId, subnetId } from '../testing/rows.ts';
import { type EndpointFacts, endpointContent, endpointWishes, leadingTo, migrationContent, migrationOf } from './endpoint.ts';
import { defaultQosOptions } from './qos.ts';

const slot = { host: 'cmp-01', device: deviceId };
const facts: EndpointFacts = {
  namespace: 'openstack',
  network: { id: networkId, name: 'prod-net', qos_policy_id: undefined },
  gateways: new Map([[subnetId, '10.40.0.1']]),
  groupNames: new Map([[groupId, 'web tier']]),
  floatingIps: [],
  qosRules: [],
  project: { id: projectId, name: 'blue team', parent_id: 'default' },
  dnsDomain: null,
  speaksFor: [],
  spoofingAllowed: true,
  qos: defaultQosOptions,
};
const content = (port: Parameters<typeof portRow>[0], with_: Partial<EndpointFacts> = {}) => endpointContent(portRow(port), slot, { ...facts, ...with_ });
const spec = (port: Parameters<typeof portRow>[0], with_: Partial<EndpointFacts> = {}) => content(port, with_).spec;

test("an endpoint has every field of upstream's", () => {
  const port = {
    fixed_ips: [
      { ip_address: '10.40.0.7', subnet_id: subnetId },
      { ip_address: '2001:db8:40::7', subnet_id: 'v6' },
    ],
    allowed_address_pairs: [{ ip_address: '10.40.0.200', mac_address: 'fa:16:3e:10:20:30' }],
    dns: { dns_name: 'vm7', current_dns_domain: 'cloud.example.' },
  };
  const with_ = {
    gateways: new Map([
      [subnetId, '10.40.0.1'],
      ['v6', '2001:db8:40::1'],
    ]),
    floatingIps: [floatingIpRow()],
    qosRules: [{ type: 'bandwidth_limit', direction: 'egress', max_kbps: 5000, max_burst_kbps: 0, max_kpps: undefined }],
    dnsDomain: 'site.example',
  };
  expect(content(port, with_)).toEqual({
    kind: 'WorkloadEndpoint',
    name: 'cmp--01-openstack-1d2c3b4a--0000--4000--8000--00000000beef-9f8e7d6c--1111--4111--8111--11111111cafe',
    namespace: 'openstack',
    labels: {
      [`sg.projectcalico.org/openstack-${groupId}`]: 'web_tier',
      'sg-name.projectcalico.org/openstack-web_tier': groupId,
      'projectcalico.org/namespace': 'openstack',
      'projectcalico.org/orchestrator': 'openstack',
      'projectcalico.org/openstack-project-id': '77aa',
      'projectcalico.org/openstack-project-name': 'blue_team',
      'projectcalico.org/openstack-project-parent-id': 'default',
      'projectcalico.org/openstack-network-name': 'prod-net',
    },
    annotations: { 'openstack.projectcalico.org/network-id': networkId, 'openstack.projectcalico.org/fqdn': 'vm7.cloud.example.' },
    spec: {
      orchestrator: 'openstack',
      workload: deviceId,
      node: 'cmp-01',
      endpoint: portId,
      interfaceName: 'tap9f8e7d6c-11',
      mac: 'fa:16:3e:10:20:30',
      ipNetworks: ['10.40.0.7/32', '2001:db8:40::7/128', '10.40.0.200/32'],
      allowedIps: ['10.40.0.200/32'],
      ipv4Gateway: '10.40.0.1',
      ipv6Gateway: '2001:db8:40::1',
      ipNATs: [{ internalIP: '10.40.0.7', externalIP: '203.0.113.9' }],
      qosControls: { egressBandwidth: 5_000_000, egressBurst: 4294967296 },
    },
  });
});

test('a packet rate beyond that of Calico’s API stands in an annotation, with the nearest bound where upstream reads', () => {
  const { annotations, spec } = content(
    {},
    { qosRules: [{ type: 'packet_rate_limit', direction: undefined, max_kbps: undefined, max_burst_kbps: undefined, max_kpps: 50 }] },
  );
  expect(annotations?.['openstack.projectcalico.org/packet-rates']).toBe('{"egressPacketRate":50000}');
  expect(spec).toMatchObject({ qosControls: { egressPacketRate: 10_000, egressPacketBurst: 5 } });
});

test('a floating IP is translated only for an address that the endpoint has, and what is left out is named', () => {
  const warnings: string[] = [];
  const lost = floatingIpRow({ fixed_ip_address: '10.40.0.8' });
  expect(
    endpointContent(portRow(), slot, { ...facts, floatingIps: [lost, floatingIpRow({ fixed_ip_address: '' })] }, (what) => warnings.push(what)).spec['ipNATs'],
  ).toBeUndefined();
  expect(warnings).toEqual([expect.stringMatching(/203\.0\.113\.9 is not translated: it is for 10\.40\.0\.8/), expect.stringMatching(/for no address/)]);
  const pair = [{ ip_address: '10.40.0.8', mac_address: '' }];
  expect(spec({ allowed_address_pairs: pair }, { floatingIps: [lost] })['ipNATs']).toEqual([{ internalIP: '10.40.0.8', externalIP: '203.0.113.9' }]);
});

describe('the floating IPs that lead to a port', () => {
  const virtual = portRow({ id: 'virtual', device_owner: 'Octavia', bindings: [], fixed_ips: [{ ip_address: '10.40.0.200', subnet_id: subnetId }] });
  const ofVirtual = floatingIpRow({ id: 'f2', fixed_port_id: 'virtual', fixed_ip_address: '10.40.0.200' });
  const pair = (ip_address: string) => portRow({ allowed_address_pairs: [{ ip_address, mac_address: '' }] });
  test.each<readonly [string, ReturnType<typeof portRow>, Partial<ReturnType<typeof portRow>>, readonly string[]]>([
    ['its own, and that of a port that is nowhere, by a pair', pair('10.40.0.200'), {}, ['f1', 'f2']],
    ['by a pair that is written as a prefix', pair('10.40.0.200/32'), {}, ['f1', 'f2']],
    ['not by a prefix around the address', pair('10.40.0.0/24'), {}, ['f1']],
    ['not by another address', pair('10.40.0.201'), {}, ['f1']],
    ['not without the pair', portRow(), {}, ['f1']],
    ['not without port security: it has no pairs', { ...pair('10.40.0.200'), port_security_enabled: false }, {}, ['f1']],
    ['not that of a port with an endpoint', pair('10.40.0.200'), { device_owner: 'compute:nova', bindings: [bindingRow('cmp-02')] }, ['f1']],
    ['not that of a port of another network', pair('10.40.0.200'), { network_id: 'other' }, ['f1']],
  ])('%s', (_, port, other, expected) => {
    const rows = { floating_ips: [floatingIpRow()], paired_floating_ips: [{ ...ofVirtual, port: { ...virtual, ...other } }] };
    expect(leadingTo(port, rows).map(({ id }) => id)).toEqual(expected);
  });
});

test('extra DHCP options are carried as they are, in an order that does not depend on the database', () => {
  const [v6, mtu, boot] = [
    { opt_name: 'dns-server', opt_value: '2001:db8::53', ip_version: 6 as const },
    { opt_name: 'mtu', opt_value: '1400', ip_version: 4 as const },
    { opt_name: '67', opt_value: 'a"b', ip_version: 4 as const },
  ];
  const annotation = (extra_dhcp_opts: ReturnType<typeof portRow>['extra_dhcp_opts']) =>
    content({ extra_dhcp_opts }).annotations?.['openstack.projectcalico.org/extra-dhcp-options'];
  expect(JSON.parse(annotation([v6, mtu, boot]) ?? '')).toEqual([
    { name: '67', value: 'a"b', ip_version: 4 },
    { name: 'mtu', value: '1400', ip_version: 4 },
    { name: 'dns-server', value: '2001:db8::53', ip_version: 6 },
  ]);
  expect(annotation([boot, mtu, v6])).toBe(annotation([v6, mtu, boot]));
  expect(annotation([])).toBeUndefined();
});

describe('the endpoints of a port', () => {
  const here = { slot, onlyIfPresent: false };
  const there = { slot: { host: 'cmp-02', device: deviceId }, onlyIfPresent: false };
  test.each([
    ['a bound VM port', {}, [here]],
    ["Kuryr's port", { device_owner: 'kuryr:container' }, [here]],
    ["a router's port", { device_owner: 'network:router_interface' }, []],
    ["a load balancer's port", { device_owner: 'Octavia' }, []],
    ['a port without owner, as Nova leaves it', { device_owner: '' }, []],
    ['a port without device', { device_id: '' }, []],
    ['a port that is administratively down', { admin_state_up: false }, []],
    ['a port without addresses', { fixed_ips: [] }, []],
    ['a port without binding', { bindings: [] }, []],
    ['a port without host', { bindings: [bindingRow('', 'unbound')] }, []],
    ['a port whose binding failed', { bindings: [bindingRow('cmp-01', 'binding_failed')] }, []],
    ["another driver's port", { bindings: [bindingRow('cmp-01', 'ovs')] }, []],
    ['a port between unbinding and binding again', { bindings: [bindingRow('cmp-01', 'unbound')] }, [{ slot, onlyIfPresent: true }]],
    ['a port that moves', { bindings: [bindingRow('cmp-01', 'tap', { migrating_to: 'cmp-02' })] }, [here, there]],
    [
      'a migrating port that is unbound for a moment',
      { bindings: [bindingRow('cmp-01', 'unbound', { migrating_to: 'cmp-02' })] },
      [{ slot, onlyIfPresent: true }, there],
    ],
    ['a port that moves to where it is', { bindings: [bindingRow('cmp-01', 'tap', { migrating_to: 'cmp-01' })] }, [here]],
    ['a port that moves nowhere', { bindings: [bindingRow('cmp-01', 'tap', { migrating_to: '' })] }, [here]],
    ['a port with an inactive binding', { bindings: [bindingRow('cmp-00', 'tap', {}, 'INACTIVE'), bindingRow('cmp-01')] }, [here]],
  ] as const)('%s', (_, port, expected) => {
    expect(endpointWishes(portRow(port as Parameters<typeof portRow>[0]))).toEqual(expected);
  });
  test('a deleted port', () => expect(endpointWishes(undefined)).toEqual([]));
});

describe('allowed address pairs', () => {
  const pairs = (...addresses: string[]) => ({ allowed_address_pairs: addresses.map((ip_address) => ({ ip_address, mac_address: '' })) });
  test.each([
    ['an address', ['10.40.0.200'], ['10.40.0.200/32'], undefined],
    ['an address written as a prefix', ['10.40.0.200/32'], ['10.40.0.200/32'], undefined],
    ['an IPv6 address', ['2001:DB8::2'], ['2001:db8::2/128'], undefined],
    ["the port's own address", ['10.40.0.7'], [], undefined],
    ["the port's own address as a prefix", ['10.40.0.7/32'], [], undefined],
    ['one address twice, with two MACs', ['10.40.0.200', '10.40.0.200/32'], ['10.40.0.200/32'], undefined],
    ['a prefix', ['10.99.0.0/24'], [], ['10.99.0.0/24']],
    ['all there is', ['0.0.0.0/0', '::/0'], [], ['0.0.0.0/0', '::/0']],
    ['nonsense', ['ten'], [], undefined],
  ])('%s', (_, addresses, allowedIps, spoofed) => {
    const result = spec(pairs(...addresses));
    expect(result).toMatchObject({ allowedIps, ipNetworks: ['10.40.0.7/32', ...allowedIps] });
    expect(result['allowSpoofedSourcePrefixes']).toEqual(spoofed);
  });
  test('a prefix is left out, with a warning, while Felix would refuse the endpoint for it', () => {
    const warnings: string[] = [];
    const result = endpointContent(portRow(pairs('10.99.0.0/24')), slot, { ...facts, spoofingAllowed: false }, (what) => warnings.push(what));
    expect(result.spec).not.toHaveProperty('allowSpoofedSourcePrefixes');
    expect(warnings.join()).toMatch(/10\.99\.0\.0\/24/);
  });
});

describe("an allowed address pair's MAC", () => {
  const annotation = (...pairs: readonly (readonly [string, string])[]): unknown =>
    content({ allowed_address_pairs: pairs.map(([ip_address, mac_address]) => ({ ip_address, mac_address })) }).annotations?.[
      'openstack.projectcalico.org/address-pair-macs'
    ];
  test.each([
    ["is not mentioned where it is the port's", [['10.40.0.200', 'FA:16:3E:10:20:30']], undefined],
    ['is not mentioned where there is none', [['10.40.0.200', '']], undefined],
    ['is not mentioned where it is none', [['10.40.0.200', 'fa:16']], undefined],
    [
      "is not mentioned where it is a group's or nobody's",
      [
        ['10.40.0.200', 'ff:ff:ff:ff:ff:ff'],
        ['10.40.0.200', '01:00:5e:00:00:12'],
        ['10.40.0.200', '00:00:00:00:00:00'],
      ],
      undefined,
    ],
    ['is in lower case', [['10.40.0.200', '00:00:5E:00:01:0A']], '{"10.40.0.200":["00:00:5e:00:01:0a"]}'],
    ["goes with the port's own address too", [['10.40.0.7/32', '00:00:5e:00:01:0a']], '{"10.40.0.7":["00:00:5e:00:01:0a"]}'],
    [
      'stands in one order, whatever the order of the pairs',
      [
        ['2001:db8::/64', '00:00:5e:00:01:0b'],
        ['10.40.0.200', '00:00:5e:00:01:0b'],
        ['10.40.0.200/32', '00:00:5e:00:01:0a'],
        ['10.40.0.200', '00:00:5e:00:01:0A'],
      ],
      '{"10.40.0.200":["00:00:5e:00:01:0a","00:00:5e:00:01:0b"],"2001:db8::/64":["00:00:5e:00:01:0b"]}',
    ],
  ] as const)('%s', (_, pairs, text) => {
    expect(annotation(...pairs)).toBe(text);
    expect(annotation(...pairs.toReversed())).toBe(text);
  });
});

describe('security groups', () => {
  test('a port with port security off carries no group and is allowed by profile', () => {
    const result = content({ port_security_enabled: false }, { speaksFor: ['10.40.0.0/24'] });
    expect(Object.keys(result.labels ?? {}).filter((label) => label.startsWith('sg'))).toEqual([]);
    expect(result.spec).toMatchObject({ profiles: ['projectcalico-default-allow'], allowSpoofedSourcePrefixes: ['10.40.0.0/24'] });
  });
  test('a port without security groups is not allowed anything', () => {
    const result = content({ security_groups: [] });
    expect(result.spec).not.toHaveProperty('profiles');
    expect(Object.keys(result.labels ?? {}).filter((label) => label.startsWith('sg'))).toEqual([]);
  });
  test('of two groups of the same name, always the same one gets the label, whatever their order', () => {
    const groupNames = new Map([
      ['g1', 'web!'],
      ['g2', 'web?'],
    ]);
    const labels = ['g1 g2', 'g2 g1'].map((order) => content({ security_groups: order.split(' ') }, { groupNames }).labels);
    expect(labels[0]).toEqual(labels[1]);
    expect(labels[0]).toMatchObject({
      'sg.projectcalico.org/openstack-g1': 'web',
      'sg.projectcalico.org/openstack-g2': 'web',
      'sg-name.projectcalico.org/openstack-web': 'g2',
    });
  });
  test('a group whose name is empty after sanitising gives no label by name', () => {
    const labels = content({}, { groupNames: new Map([[groupId, '!!!']]) }).labels ?? {};
    expect(labels[`sg.projectcalico.org/openstack-${groupId}`]).toBe('');
    expect(Object.keys(labels).filter((label) => label.startsWith('sg-name'))).toEqual([]);
  });
});

test.each([
  // dns_domain of neutron.conf, the port's own name and domain, what Neutron's API shows
  [null, 'vm7', '', undefined],
  ['openstacklocal', 'vm7', '', 'host-10-40-0-7.openstacklocal.'],
  ['site.example', 'vm7', '', 'vm7.site.example.'],
  ['site.example.', 'vm7', 'cloud.example.', 'vm7.cloud.example.'],
  ['site.example', '', '', 'host-10-40-0-7.site.example.'],
  ['site.example', 'vm7.other.example.', '', 'vm7.other.example.'],
  ['', 'vm7', '', 'host-10-40-0-7'],
])('with dns_domain %j, a port named %j in domain %j has the FQDN %j', (dnsDomain, dns_name, current_dns_domain, fqdn) => {
  expect(content({ dns: { dns_name, current_dns_domain } }, { dnsDomain }).annotations?.['openstack.projectcalico.org/fqdn']).toBe(fqdn);
});

test('a gateway is that of the last fixed address of its family; a subnet without one gives none', () => {
  const fixed_ips = ['a', 'b', 'c'].map((subnet_id, index) => ({ ip_address: `10.40.0.${index + 7}`, subnet_id }));
  const result = spec(
    { fixed_ips },
    {
      gateways: new Map([
        ['a', '10.40.0.1'],
        ['b', '10.40.0.2'],
      ]),
    },
  );
  expect(result).toMatchObject({ ipv4Gateway: '10.40.0.2' });
  expect(result).not.toHaveProperty('ipv6Gateway');
});

test('while a port migrates, its LiveMigration names both hosts and has the name of the endpoint at the destination', () => {
  const port = portRow({ bindings: [bindingRow('cmp-01', 'tap', { migrating_to: 'cmp-02' })] });
  const move = migrationOf(port);
  if (!move) throw new Error('no move');
  const end = (hostname: string) => ({ workloadEndpoint: { hostname, orchestratorID: 'openstack', workloadID: `openstack/${deviceId}`, endpointID: portId } });
  expect(migrationContent(portId, move, 'openstack')).toEqual({
    kind: 'LiveMigration',
    name: 'cmp--02-openstack-1d2c3b4a--0000--4000--8000--00000000beef-9f8e7d6c--1111--4111--8111--11111111cafe',
    namespace: 'openstack',
    spec: { source: end('cmp-01'), target: end('cmp-02') },
  });
  expect(migrationOf(portRow())).toBeUndefined();
});
