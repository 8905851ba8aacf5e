import { describe, expect, test } from 'vitest';
import { endpointMost, labelsMost } from './bounds.ts';
import { decodeJsonObject, decodeResource, nestingMax, parseJson, show, valueBytesMax } from './resource.ts';
import { decodeAgentStatus, decodeEndpointStatus, encodeAgentStatus, encodeEndpointStatus } from './status.ts';
import { decodeSubnet, encodeSubnet } from './subnet.ts';
import { decodeWorkloadEndpoint, packetRatesAnnotation } from './workload-endpoint.ts';

const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
const value = <T>(decoded: { ok: true; value: T } | { ok: false; reason: string }): T => {
  if (!decoded.ok) throw new Error(decoded.reason);
  return decoded.value;
};

const endpoint = (spec: object, metadata: object = {}): Uint8Array =>
  bytes({
    kind: 'WorkloadEndpoint',
    apiVersion: 'projectcalico.org/v3',
    metadata: { name: 'x', namespace: 'openstack', labels: { a: 'b' }, ...metadata },
    spec: { orchestrator: 'openstack', interfaceName: 'tap9f8e7d6c-11', mac: 'FA:16:3e:10:20:30', ipNetworks: ['10.40.0.7/32', '2001:DB8:40::7/128'], ...spec },
  });

describe('a WorkloadEndpoint', () => {
  test('as the driver writes it', () => {
    const decoded = value(
      decodeWorkloadEndpoint(
        endpoint({
          allowedIps: ['10.40.0.200/32'],
          ipv4Gateway: '10.40.0.1',
          ipv6Gateway: '2001:db8:40::1',
          ipNATs: [{ internalIP: '10.40.0.7', externalIP: '203.0.113.9' }],
          qosControls: { egressBandwidth: 5000000, odd: 'x' },
          profiles: ['p'],
          ports: [
            { name: 'web', protocol: 'TCP', port: 80 },
            { protocol: 'UDP', port: 1 },
          ],
        }),
      ),
    );
    expect(decoded).toMatchObject({
      labels: { a: 'b' },
      annotations: {},
      interfaceName: 'tap9f8e7d6c-11',
      mac: 'fa:16:3e:10:20:30',
      ipNetworks: ['10.40.0.7/32', '2001:db8:40::7/128'],
      allowedIps: ['10.40.0.200/32'],
      ipv4Gateway: '10.40.0.1',
      ipv6Gateway: '2001:db8:40::1',
      ipNats: [{ internal: '10.40.0.7', external: '203.0.113.9' }],
      qosControls: { egressBandwidth: 5000000 },
      profiles: ['p'],
      ports: [{ name: 'web', protocol: 6, port: 80 }],
    });
  });
  test.each<readonly [string, object | undefined, string, object | undefined]>([
    [
      'takes the place of that in the spec',
      { egressPacketRate: 10_000, egressBandwidth: 1000 },
      '{"egressPacketRate":50000}',
      { egressPacketRate: 50_000, egressBandwidth: 1000 },
    ],
    ['counts alone', undefined, '{"ingressPacketRate":50000}', { ingressPacketRate: 50_000 }],
    [
      'sets nothing but packet rates',
      { egressBandwidth: 1000 },
      '{"egressBandwidth":1,"egressPacketBurst":1,"odd":1,"egressPacketRate":"x"}',
      { egressBandwidth: 1000 },
    ],
    ['that is no JSON leaves the spec’s', { egressPacketRate: 10_000 }, '{', { egressPacketRate: 10_000 }],
  ])('a packet rate in the annotation %s', (_, qosControls, annotation, expected) => {
    const bytes = endpoint({ ...(qosControls && { qosControls }) }, { annotations: { [packetRatesAnnotation]: annotation } });
    expect(value(decodeWorkloadEndpoint(bytes)).qosControls).toEqual(expected);
  });
  test.each<[string, object]>([
    ['no address', { ipNetworks: [] }],
    ['an address that is none', { ipNetworks: ['10.40.0.0/24/32'] }],
    ['a MAC that is none', { mac: 'fa:16' }],
    ['no interface', { interfaceName: '' }],
    ['an interface that the kernel could not have', { interfaceName: '../../all' }],
    ['a gateway of the other family', { ipv4Gateway: '2001:db8::1' }],
    ['a port of another protocol', { ports: [{ name: 'x', protocol: 'ICMP', port: 1 }] }],
    ['a port of a protocol that only JavaScript knows', { ports: [{ name: 'x', protocol: 'constructor', port: 1 }] }],
    ['a port of a list of protocols', { ports: [{ name: 'x', protocol: ['TCP'], port: 1 }] }],
    ['profiles that are not text', { profiles: [1] }],
    ['a spoofing prefix that is none', { allowSpoofedSourcePrefixes: ['all'] }],
  ])('with %s is refused whole', (_, spec) => expect(decodeWorkloadEndpoint(endpoint(spec)).ok).toBe(false));
  test('an address that is fixed and an allowed address pair as well is a fixed one', () => {
    const some = { ipNetworks: ['10.40.0.7/32', '10.40.0.9/32', '10.40.0.7'], allowedIps: ['10.40.0.9/32', '10.40.0.7/32'] };
    expect(value(decodeWorkloadEndpoint(endpoint(some)))).toMatchObject({ ipNetworks: ['10.40.0.7/32', '10.40.0.9/32'], allowedIps: ['10.40.0.9/32'] });
  });
  test('with a floating IP that does not parse keeps the others', () => {
    const decoded = decodeWorkloadEndpoint(
      endpoint({
        ipNATs: [
          { internalIP: 'x', externalIP: '203.0.113.9' },
          { internalIP: '10.40.0.7', externalIP: '203.0.113.9' },
        ],
      }),
    );
    expect(value(decoded).ipNats).toHaveLength(1);
  });
});

test.each([
  ['', 'not JSON'],
  ['[]', 'not a JSON object'],
  ['{"metadata":{"labels":{"a":1}}}', 'metadata.labels'],
  ['{"spec":[]}', 'spec'],
])('the value %j is refused: %s', (text, reason) => {
  const decoded = decodeResource(bytes(text));
  expect(decoded).toMatchObject({ ok: false, reason: expect.stringContaining(reason) as string });
});
test('a value that nests too deeply to be printed is refused without an exception', () => {
  const nested = '['.repeat(200_000) + ']'.repeat(200_000);
  const spec = (field: string): Uint8Array => bytes(`{"spec":{"interfaceName":"tap1","ipNetworks":["10.0.0.1"],"${field}":${nested}}}`);
  for (const field of ['interfaceName', 'mac', 'ipNetworks', 'ipv4Gateway', 'profiles']) expect(decodeWorkloadEndpoint(spec(field)).ok).toBe(false);
  expect(decodeWorkloadEndpoint(bytes(`{"spec":{"interfaceName":"tap1","ipNetworks":["10.0.0.1"],"ports":[{"protocol":${nested}}]}}`)).ok).toBe(false);
});
test('a value that is not UTF-8 is refused', () => expect(decodeResource(new Uint8Array([0x7b, 0xff, 0x7d])).ok).toBe(false));

describe('a subnet', () => {
  test.each([
    '{"network_id":"c0de","cidr":"10.40.0.0/24","host_routes":[{"destination":"10.99.0.0/16","nexthop":"10.40.0.1"}],"gateway_ip":"10.40.0.1","dns_servers":["10.40.0.2","10.40.0.3"]}',
    '{"network_id":"c0de","cidr":"2001:db8:40::/64","host_routes":[],"gateway_ip":"2001:db8:40::1","ipv6_ra_mode":"slaac","ipv6_address_mode":"slaac"}',
    '{"network_id":"c0de","cidr":"10.40.0.0/24","host_routes":[],"gateway_ip":null}',
  ])('%s', (text) => expect(encodeSubnet(value(decodeSubnet(bytes(text))))).toBe(text));
  test.each(['{}', '{"network_id":"x","cidr":"10.0.0.0"}x', '{"network_id":"a\\nb","cidr":"10.0.0.0/8"}'])('%s is none', (text) =>
    expect(decodeSubnet(bytes(text)).ok).toBe(false),
  );
  test.each<[object, object, RegExp]>([
    [{ dns_servers: ['8.8.8.8,evil', '10.1.1.1'] }, { dnsServers: ['10.1.1.1'] }, /^dns_servers holds "8.8.8.8,evil"$/],
    [{ dns_servers: 'none' }, {}, /^dns_servers "none" is not a list$/],
    [{ dns_servers: ['a', 'b', 'c', 'd', 'e', '10.1.1.1'] }, { dnsServers: ['10.1.1.1'] }, /"c"; dns_servers holds 2 more such entries$/],
    [
      {
        host_routes: [
          { destination: 'a', nexthop: 'b' },
          { destination: '10.9.0.0/16', nexthop: '10.0.0.7' },
        ],
      },
      { hostRoutes: [{ destination: '10.9.0.0/16', nexthop: '10.0.0.7' }] },
      /^host_routes holds an object$/,
    ],
    [{ host_routes: [{ destination: '2001:db8::/64', nexthop: '10.0.0.7' }] }, { hostRoutes: [] }, /^host_routes holds an object$/],
    [{ gateway_ip: 'gw' }, {}, /^gateway_ip "gw" is not an IPv4 address$/],
    [{ gateway_ip: '2001:db8::1' }, {}, /^gateway_ip "2001:db8::1" is not an IPv4 address$/],
  ])('%j: what cannot be read is left out and named, the rest counts', (fields, rest, leftOut) => {
    const found = value(decodeSubnet(bytes({ network_id: 'x', cidr: '10.0.0.0/8', ...fields })));
    expect(found).toMatchObject({ cidr: '10.0.0.0/8', ...rest });
    expect(found.gatewayIp).toBeUndefined();
    expect(found.leftOut?.join('; ')).toMatch(leftOut);
  });
});

test('statuses', () => {
  const status = { time: '2026-03-01T10:00:30Z', uptimeSeconds: 1234.56, firstUpdate: false };
  expect(encodeAgentStatus(status)).toBe('{"time":"2026-03-01T10:00:30Z","uptime":1234.56,"first_update":false}');
  expect(value(decodeAgentStatus(bytes(encodeAgentStatus(status))))).toEqual(status);
  expect(encodeEndpointStatus('up')).toBe('{"status":"up"}');
  expect(value(decodeEndpointStatus(bytes('{"status":"down"}')))).toBe('down');
  expect(decodeEndpointStatus(bytes('{"status":"fine"}')).ok).toBe(false);
});

describe('an endpoint beyond the limits', () => {
  const numbered = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, index) => make(index));
  const address = (index: number): string => `10.70.${index >> 8}.${index & 255}`;
  test.each<[string, number, (count: number) => object]>([
    ['spec.ipNetworks', endpointMost.addresses, (count) => ({ ipNetworks: numbered(count, address) })],
    ['spec.allowedIps', endpointMost.addresses, (count) => ({ allowedIps: numbered(count, address) })],
    ['spec.allowSpoofedSourcePrefixes', endpointMost.spoofedPrefixes, (count) => ({ allowSpoofedSourcePrefixes: numbered(count, address) })],
    ['spec.ipNATs', endpointMost.floatingIps, (count) => ({ ipNATs: numbered(count, (index) => ({ internalIP: '10.40.0.7', externalIP: address(index) })) })],
    ['spec.profiles', endpointMost.profiles, (count) => ({ profiles: numbered(count, String) })],
    ['spec.ports', endpointMost.ports, (count) => ({ ports: numbered(count, (index) => ({ name: `p${index}`, protocol: 'TCP', port: 1 })) })],
  ])('%s: %i are accepted, one more is refused', (field, most, spec) => {
    expect(decodeWorkloadEndpoint(endpoint(spec(most)))).toMatchObject({ ok: true });
    expect(decodeWorkloadEndpoint(endpoint(spec(most + 1)))).toEqual({ ok: false, reason: `${field} holds ${most + 1} entries, and ${most} are the most` });
  });
  test('labels likewise', () => {
    const labels = (count: number): object => ({ labels: Object.fromEntries(numbered(count, (index) => [`l${index}`, ''])) });
    expect(decodeWorkloadEndpoint(endpoint({}, labels(labelsMost)))).toMatchObject({ ok: true });
    expect(decodeWorkloadEndpoint(endpoint({}, labels(labelsMost + 1)))).toMatchObject({
      ok: false,
      reason: expect.stringContaining('metadata.labels holds 1025'),
    });
  });
});

describe('bytes that anybody may have written', () => {
  const nested = (depth: number, open = '{"a":', close = '}'): string => `${open.repeat(depth - 1)}{"x":1}${close.repeat(depth - 1)}`;
  const refusal = (text: string | Uint8Array): string => {
    const result = decodeJsonObject(typeof text === 'string' ? new TextEncoder().encode(text) : text);
    return result.ok ? 'none' : result.reason;
  };

  test.each([
    ['{"a":', '}'],
    ['{"a":[', ']}'],
    ['{"a":["\\"]",', ']}'],
  ])('are read down to the greatest allowed depth, and no deeper (%s…%s)', (open, close) => {
    const each = open.includes('[') ? 2 : 1;
    const deepest = Math.floor((nestingMax - 1) / each) + 1;
    expect(refusal(nested(deepest, open, close))).toBe('none');
    expect(refusal(nested(deepest + 1, open, close))).toMatch(/^nests deeper than 100 /);
    expect(refusal(nested(100_000, open, close))).toMatch(/^nests deeper than 100 /);
  });

  test('brackets beside each other, and brackets in text, do not count as depth', () => {
    expect(refusal(JSON.stringify({ list: Array.from({ length: 500 }, () => [{}]) }))).toBe('none');
    expect(refusal(JSON.stringify({ text: '[{"\\'.repeat(500), [`${'['.repeat(300)}"`]: 1 }))).toBe('none');
  });

  test('are refused beyond the greatest length that is read', () => {
    const ofLength = (length: number): string => `{"a":"${'x'.repeat(length - 8)}"}`;
    expect(refusal(ofLength(valueBytesMax))).toBe('none');
    expect(refusal(ofLength(valueBytesMax + 1))).toMatch(/bytes long/);
  });

  test.each([
    ['', 'is not JSON'],
    ['{"a":1', 'is not JSON'],
    ['[]', 'is not a JSON object'],
    ['null', 'is not a JSON object'],
    [new Uint8Array([0x7b, 0xff, 0x7d]), 'is not UTF-8'],
  ])('%j: %s', (text, reason) => expect(refusal(text)).toContain(reason));

  test('a field named like a property of every object is an ordinary field', () => {
    const object = value(decodeResource(bytes('{"metadata":{"labels":{"__proto__":"a","constructor":"b"}},"spec":{"__proto__":{"x":1}}}')));
    expect(Object.entries(object.metadata.labels)).toEqual([
      ['__proto__', 'a'],
      ['constructor', 'b'],
    ]);
    expect(object.spec['x']).toBeUndefined();
  });

  test('are shown shortened, whatever they are', () => {
    expect(show('x'.repeat(1_000_000))).toBe(`"${'x'.repeat(80)}"…`);
    expect(show({ toString: 1 })).toBe('an object');
    expect(parseJson('"x"')).toEqual({ ok: true, value: 'x' });
  });
});
