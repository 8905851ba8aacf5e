import { describe, expect, test } from 'vitest';
import { facts, serviceOptions, subnet } from '../testing/facts.ts';
import { option4 } from './ipv4.ts';
import { servePort } from './serve.ts';
import type { Ipv4Service, PortFacts } from './service.ts';

const serve = (port: Parameters<typeof facts>[0], options = serviceOptions) => servePort(facts(port), options);
const optionOf = (service: Ipv4Service | undefined, code: number) => service?.options.find((option) => option.code === code)?.value;

const v4 = subnet('10.65.0.0/24', { gatewayIp: '10.65.0.1', dnsServers: ['10.1.1.1', '2001:db8::53'] });
const v6 = subnet('2001:db8:a::/64', { gatewayIp: '2001:db8:a::1', dnsServers: ['10.1.1.1', '2001:db8::53'] });

test('a port on an IPv4 subnet is handed its address with mask, gateway, DNS, name, domain, MTU and broadcast address', () => {
  const { service, problems } = serve({ addresses: ['10.65.0.11'], subnets: [v4], mtuBytes: 1442, fqdn: 'vm-1.cloud.example.' });
  expect(problems).toEqual([]);
  expect(service).toEqual({
    tap: 'tap00000001-aa',
    mac: 'fa:16:3e:00:00:01',
    ipv4: {
      family: 4,
      leases: ['10.65.0.11'],
      serverAddresses: [{ address: '10.65.0.1', prefixLength: 32 }],
      options: [
        { code: 1, value: { kind: 'addresses', addresses: ['255.255.255.0'] } },
        { code: 3, value: { kind: 'addresses', addresses: ['10.65.0.1'] } },
        { code: 6, value: { kind: 'addresses', addresses: ['10.1.1.1'] } },
        { code: 12, value: { kind: 'name', name: 'vm-1' } },
        { code: 15, value: { kind: 'name', name: 'cloud.example' } },
        { code: 26, value: { kind: 'number16', number: 1442 } },
        { code: 28, value: { kind: 'addresses', addresses: ['10.65.0.255'] } },
      ],
    },
    ipv6: undefined,
    dns: {
      family: 'dns',
      networkId: 'net-a',
      hostname: 'vm-1',
      domain: 'cloud.example',
      addresses: ['10.65.0.11'],
      resolvers: [],
      createdMs: 0,
    },
  });
});

const servedV6 = {
  family: 6,
  mac: 'fa:16:3e:00:00:01',
  addresses: ['2001:db8:a::11'],
  leases: ['2001:db8:a::11'],
  autonomous: [],
  dhcp: 'stateful',
  serverAddresses: [{ address: '2001:db8:a::1', prefixLength: 128 }],
  mtuBytes: 1500,
  dnsServers: ['2001:db8::53'],
  domain: 'cloud.example',
  options: [],
};

test('a port on an IPv6 subnet is handed its address with DNS and domain, and the tap has the gateway', () => {
  const { service, problems } = serve({ addresses: ['2001:db8:a::11'], subnets: [v6], fqdn: 'vm-1.cloud.example.' });
  expect(problems).toEqual([]);
  expect(service?.ipv4).toBeUndefined();
  expect(service?.ipv6).toEqual(servedV6);
});

describe('an IPv6 subnet in mode', () => {
  const inMode = (mode: 'slaac' | 'dhcpv6-stateless' | 'dhcpv6-stateful', cidr = '2001:db8:a::/64') =>
    subnet(cidr, { gatewayIp: '2001:db8:a::1', dnsServers: ['2001:db8::53'], ipv6RaMode: mode, ipv6AddressMode: mode });
  const address = '2001:db8:a:0:f816:3eff:fe00:1';
  test.each([
    { mode: 'slaac', gives: { dhcp: 'none', autonomous: ['2001:db8:a::/64'], leases: [] } },
    { mode: 'dhcpv6-stateless', gives: { dhcp: 'stateless', autonomous: ['2001:db8:a::/64'], leases: [] } },
    { mode: 'dhcpv6-stateful', gives: { dhcp: 'stateful', autonomous: [], leases: [address] } },
  ] as const)('$mode: its guests are told so', ({ mode, gives }) => {
    const { service, problems } = serve({ addresses: [address], subnets: [inMode(mode)] });
    expect(problems).toEqual([]);
    expect(service?.ipv6).toEqual({ ...servedV6, domain: 'openstacklocal', addresses: [address], ...gives });
  });

  test('slaac beside one in mode dhcpv6-stateful: each address as its own subnet says', () => {
    const { service } = serve({ addresses: [address, '2001:db8:b::11'], subnets: [inMode('slaac'), subnet('2001:db8:b::/64')] });
    expect(service?.ipv6).toMatchObject({ dhcp: 'stateful', autonomous: ['2001:db8:a::/64'], leases: ['2001:db8:b::11'] });
  });

  test('slaac with another prefix than of 64 bits hands its address out, and the problem is reported', () => {
    const { service, problems } = serve({ addresses: [address], subnets: [inMode('slaac', '2001:db8:a::/60')] });
    expect(service?.ipv6).toMatchObject({ dhcp: 'stateful', autonomous: [], leases: [address] });
    expect(problems).toEqual([`${address} is handed out by DHCPv6 although 2001:db8:a::/60 says slaac: guests make addresses only in prefixes of 64 bits`]);
  });
});

test('an address whose subnet is not known is not handed out, and the others are', () => {
  expect(serve({ addresses: ['10.66.0.5'], subnets: [v4] }).service).toBeUndefined();
  expect(serve({ addresses: ['10.66.0.5', '10.65.0.11'], subnets: [v4] }).service?.ipv4?.leases).toEqual(['10.65.0.11']);
  expect(serve({ addresses: ['10.65.0.11', '2001:db8:a::11'], subnets: [v6] }).service).toMatchObject({
    ipv4: undefined,
    ipv6: { leases: ['2001:db8:a::11'] },
  });
});

test('of several IPv4 addresses the first is handed out, of IPv6 addresses all', () => {
  const { service } = serve({ addresses: ['10.65.0.12', '10.65.0.11', '2001:db8:a::12', '2001:db8:a::11'], subnets: [v4, v6] });
  expect(service?.ipv4?.leases).toEqual(['10.65.0.12']);
  expect(service?.ipv6?.leases).toEqual(['2001:db8:a::12', '2001:db8:a::11']);
});

describe('DNS servers', () => {
  test.each([
    { of: 'the subnet', servers: ['10.1.1.1', '10.1.1.2'], told: ['10.1.1.1', '10.1.1.2'], resolvers: [] },
    { of: 'the agent, at the gateway’s address, where the subnet names none', servers: undefined, told: ['10.65.0.1'], resolvers: ['10.65.0.1'] },
    { of: 'the agent where the subnet names only the other family', servers: ['2001:db8::53'], told: ['10.65.0.1'], resolvers: ['10.65.0.1'] },
    { of: 'nobody where the subnet says 0.0.0.0', servers: ['0.0.0.0'], told: undefined, resolvers: [] },
  ])('are those of $of', ({ servers, told, resolvers }) => {
    const subnets = [subnet('10.65.0.0/24', { gatewayIp: '10.65.0.1', ...(servers && { dnsServers: servers }) })];
    const { service } = serve({ addresses: ['10.65.0.11'], subnets });
    expect(optionOf(service?.ipv4, option4.dnsServers)).toEqual(told ? { kind: 'addresses', addresses: told } : { kind: 'withheld' });
    expect(service?.dns.resolvers).toEqual(resolvers);
  });

  test.each([
    { servers: ['2001:db8::53'], gatewayIp: '2001:db8:a::1', told: ['2001:db8::53'], resolvers: [] },
    { servers: undefined, gatewayIp: '2001:db8:a::1', told: ['2001:db8:a::1'], resolvers: ['2001:db8:a::1'] },
    { servers: undefined, gatewayIp: undefined, told: [], resolvers: [] },
    { servers: ['::'], gatewayIp: '2001:db8:a::1', told: [], resolvers: [] },
  ])('of an IPv6 subnet with $servers and gateway $gatewayIp are $told', ({ servers, gatewayIp, told, resolvers }) => {
    const subnets = [subnet('2001:db8:a::/64', { ...(gatewayIp && { gatewayIp }), ...(servers && { dnsServers: servers }) })];
    const { service } = serve({ addresses: ['2001:db8:a::11'], subnets });
    expect(service?.ipv6?.dnsServers).toEqual(told);
    expect(service?.dns.resolvers).toEqual(resolvers);
  });
});

test('a port’s name in DNS is its FQDN, or else made of its first address and the agent’s domain', () => {
  const one = { addresses: ['10.65.0.11'], subnets: [v4], createdMs: 7 };
  expect(serve({ ...one, fqdn: 'vm-1.cloud.example.' }).service?.dns).toMatchObject({
    networkId: 'net-a',
    hostname: 'vm-1',
    domain: 'cloud.example',
    createdMs: 7,
  });
  expect(serve({ ...one, fqdn: 'vm 1.x' }).service?.dns).toMatchObject({ hostname: 'host-10-65-0-11', domain: 'openstacklocal', addresses: ['10.65.0.11'] });
});

describe('routes', () => {
  const routesOf = (subnets: PortFacts['subnets']) => {
    const { service, problems } = serve({ addresses: ['10.65.0.11'], subnets });
    const value = optionOf(service?.ipv4, option4.classlessRoutes);
    expect(optionOf(service?.ipv4, option4.classlessRoutesOfMicrosoft)).toEqual(value);
    return { problems, routes: value?.kind === 'routes' ? value.routes.map(({ destination, nexthop }) => `${destination} ${nexthop}`) : undefined };
  };
  test.each([
    { case: 'none', subnets: [v4], routes: undefined },
    {
      case: 'a host route: the default route with it, since clients ignore the router then',
      subnets: [subnet('10.65.0.0/24', { gatewayIp: '10.65.0.1', routes: { '10.99.0.0/16': '10.65.0.7' } })],
      routes: ['0.0.0.0/0 10.65.0.1', '10.99.0.0/16 10.65.0.7'],
    },
    {
      case: 'a host route, no gateway: the metadata’s address with it',
      subnets: [subnet('10.65.0.0/24', { routes: { '10.99.0.0/16': '10.65.0.7' } })],
      routes: ['169.254.169.254/32 0.0.0.0', '10.99.0.0/16 10.65.0.7'],
    },
    { case: 'no gateway: the metadata’s address', subnets: [subnet('10.65.0.0/24')], routes: ['169.254.169.254/32 0.0.0.0'] },
    {
      case: 'no gateway, and a host route to the metadata’s address',
      subnets: [subnet('10.65.0.0/24', { routes: { '169.254.169.254/32': '10.65.0.2' } })],
      routes: ['169.254.169.254/32 10.65.0.2'],
    },
    {
      case: 'a gateway outside the subnet: the route to it before the one through it',
      subnets: [subnet('10.65.0.11/32', { gatewayIp: '10.80.0.1' })],
      routes: ['10.80.0.1/32 0.0.0.0', '0.0.0.0/0 10.80.0.1'],
    },
    {
      case: 'sibling subnets, on the link',
      subnets: [v4, subnet('10.67.0.0/24'), subnet('10.66.0.0/24'), v6],
      routes: ['0.0.0.0/0 10.65.0.1', '10.66.0.0/24 0.0.0.0', '10.67.0.0/24 0.0.0.0'],
    },
    {
      case: 'a default route of the other family',
      subnets: [subnet('10.65.0.0/24', { gatewayIp: '10.65.0.1', routes: { '2001:db8::/32': '2001:db8::1' } })],
      routes: undefined,
    },
  ])('$case', ({ subnets, routes }) => {
    expect(routesOf(subnets)).toEqual({ problems: [], routes });
  });

  test('a default route among the host routes is the router where there is no gateway, and nothing where there is one', () => {
    const withGateway = (gateway: { readonly gatewayIp?: string }) =>
      optionOf(
        serve({ addresses: ['10.65.0.11'], subnets: [subnet('10.65.0.0/24', { ...gateway, routes: { '0.0.0.0/0': '10.65.0.9' } })] }).service?.ipv4,
        option4.router,
      );
    expect(withGateway({})).toEqual({ kind: 'addresses', addresses: ['10.65.0.9'] });
    expect(withGateway({ gatewayIp: '10.65.0.1' })).toEqual({ kind: 'addresses', addresses: ['10.65.0.1'] });
  });

  test('routes that do not fit into an option are left out, and the problem is reported', () => {
    const many = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`10.99.${index}.0/24`, '10.65.0.7']));
    const { routes, problems } = routesOf([subnet('10.65.0.0/24', { gatewayIp: '10.65.0.1', routes: many })]);
    expect(routes).toHaveLength(32); // 5 bytes for the default route, 8 for each of the others
    expect(problems).toEqual([
      '9 of 41 routes of 10.65.0.0/24 are not told to guests, since a DHCP option holds 255 bytes: 10.99.31.0/24 by 10.65.0.7, 10.99.32.0/24 by 10.65.0.7, 10.99.33.0/24 by 10.65.0.7, 10.99.34.0/24 by 10.65.0.7, 10.99.35.0/24 by 10.65.0.7 …',
    ]);
  });
});

describe('the host takes on the tap', () => {
  const taken = (addresses: readonly string[]) => (address: string) => addresses.includes(address);
  test.each([
    { case: 'the gateway', prefix: '10.65.0.0/24', gatewayIp: '10.65.0.1', takes: '10.65.0.1' },
    { case: 'the first address where there is no gateway', prefix: '10.65.0.0/24', takes: '10.65.0.0' },
    { case: 'the first address where the gateway is a port’s', prefix: '10.65.0.0/24', gatewayIp: '10.65.0.1', ports: ['10.65.0.1'], takes: '10.65.0.0' },
    { case: 'a gateway outside the subnet', prefix: '10.65.0.0/24', gatewayIp: '10.80.0.1', takes: '10.80.0.1' },
    { case: 'the first address where the gateway is in the other half of all addresses', prefix: '10.65.0.0/24', gatewayIp: '192.168.0.1', takes: '10.65.0.0' },
    { case: 'the gateway of a subnet of two addresses', prefix: '10.65.0.10/31', gatewayIp: '10.65.0.10', takes: '10.65.0.10' },
    { case: 'nothing in a subnet of two addresses without gateway', prefix: '10.65.0.10/31', takes: undefined },
    { case: 'nothing where both are ports’', prefix: '10.65.0.0/24', gatewayIp: '10.65.0.1', ports: ['10.65.0.1', '10.65.0.0'], takes: undefined },
  ])('$case', ({ prefix, gatewayIp, ports = [], takes }) => {
    const { service, problems } = serve({
      addresses: ['10.65.0.11'],
      subnets: [subnet(prefix, gatewayIp === undefined ? {} : { gatewayIp })],
      isTaken: taken(ports),
    });
    expect(service?.ipv4?.serverAddresses).toEqual(takes === undefined ? undefined : [{ address: takes, prefixLength: 32 }]);
    expect(problems).toHaveLength(takes === undefined ? 1 : 0);
  });

  test.each([
    { case: 'the gateway', gatewayIp: '2001:db8:a::1', takes: ['2001:db8:a::1'] },
    { case: 'nothing where there is no gateway', takes: [] },
    { case: 'nothing where the gateway is link-local', gatewayIp: 'fe80::1', takes: [] },
    { case: 'nothing where the gateway is a port’s', gatewayIp: '2001:db8:a::1', ports: ['2001:db8:a::1'], takes: [] },
    { case: 'nothing where the gateway is its own address', gatewayIp: '2001:db8:a::11', takes: [] },
  ])('for IPv6 $case', ({ gatewayIp, ports = [], takes }) => {
    const { service } = serve({
      addresses: ['2001:db8:a::11'],
      subnets: [subnet('2001:db8:a::/64', gatewayIp === undefined ? {} : { gatewayIp })],
      isTaken: taken(ports),
    });
    expect(service?.ipv6?.serverAddresses.map(({ address }) => address)).toEqual(takes);
    expect(service?.ipv6?.leases).toEqual(['2001:db8:a::11']);
  });
});

describe('a reserved address', () => {
  const obstacle = (address: string): string | undefined => (['10.65.0.1', '2001:db8:a::1'].includes(address) ? 'is an etcd endpoint' : undefined);

  test('is not taken by the host as a gateway: the port is served from the first address and still gets its gateway’s address, and the reason is reported', () => {
    const { service, problems } = serve({ addresses: ['10.65.0.11', '2001:db8:a::11'], subnets: [v4, v6], obstacle });
    expect(service?.ipv4?.serverAddresses.map(({ address }) => address)).toEqual(['10.65.0.0']);
    expect(service?.ipv6?.serverAddresses).toEqual([]);
    expect(service?.ipv6?.leases).toEqual(['2001:db8:a::11']);
    expect(optionOf(service?.ipv4, option4.router)).toEqual({ kind: 'addresses', addresses: ['10.65.0.1'] });
    expect(problems).toEqual([
      'the host does not take 10.65.0.1, the gateway of 10.65.0.0/24, on the tap: it is an etcd endpoint',
      'the host does not take 2001:db8:a::1, the gateway of 2001:db8:a::/64, on the tap: it is an etcd endpoint',
    ]);
  });

  test('leaves nothing to serve IPv4 from, and IPv6 is served', () => {
    const { service, problems } = serve({
      addresses: ['10.65.0.11', '2001:db8:a::11'],
      subnets: [v4, v6],
      obstacle: (address) => (['10.65.0.1', '10.65.0.0'].includes(address) ? 'is an address of this host (eth0)' : undefined),
    });
    expect([service?.ipv4?.leases, service?.ipv6?.leases]).toEqual([undefined, ['2001:db8:a::11']]);
    expect(problems.at(-1)).toContain('10.65.0.11 gets no DHCP');
  });
});

test('a tenant’s extra options replace the subnet’s and the agent’s, in each family its own; one that may not be set is reported', () => {
  const { service, problems } = serve({
    addresses: ['10.65.0.11', '2001:db8:a::11'],
    subnets: [v4, v6],
    extraOptions: [
      { name: 'mtu', value: '1400', family: 4 },
      { name: 'bootfile-name', value: 'pxelinux.0', family: 4 },
      { name: '59', value: 'tftp://[2001:db8::1]/x', family: 6 },
      { name: 'server-id', value: 'x', family: 6 },
    ],
  });
  expect(service?.ipv4?.options.filter(({ code }) => code === 26)).toEqual([{ code: 26, value: { kind: 'number16', number: 1400 } }]);
  expect(service?.ipv4?.options.at(-1)).toEqual({ code: 67, value: { kind: 'text', text: 'pxelinux.0' } });
  expect(service?.ipv6?.options).toEqual([{ code: 59, hex: Buffer.from('tftp://[2001:db8::1]/x').toString('hex') }]);
  expect(problems).toEqual(['the extra DHCPv6 option "server-id" is not sent: it is no option that a port may have']);
});

test('a name that breaks the rules of DNS is not handed out, and the problem is reported', () => {
  const { service, problems } = serve({ addresses: ['10.65.0.11'], subnets: [v4], fqdn: 'vm,tag:x\n' });
  expect(optionOf(service?.ipv4, option4.hostname)).toEqual({ kind: 'name', name: 'host-10-65-0-11' });
  expect(optionOf(service?.ipv4, option4.domain)).toEqual({ kind: 'name', name: 'openstacklocal' });
  expect(problems).toEqual(['its name "vm,tag:x\\n" is none by DNS rules: the guest is not told it']);
});
