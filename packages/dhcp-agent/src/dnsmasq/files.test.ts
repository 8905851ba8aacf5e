import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createModel } from '../model.ts';
import { servePort } from '../service/serve.ts';
import type { Ipv4Service } from '../service/service.ts';
import { bytes, endpointKey, endpointValue, keyOfSubnet } from '../testing/etcd-values.ts';
import { facts, ip, serviceOptions, subnet } from '../testing/facts.ts';
import { hostilePort, hostileText } from '../testing/hostile.ts';
import { hostEntryOf, parseHost, printHost, printOptions } from './files.ts';

test('no line is longer than Dnsmasq reads at once, however much a subnet and a port hold', () => {
  const many = Array.from({ length: 100 }, (_, index) => index + 100);
  const routes = (length: number) => Object.fromEntries(many.map((number) => [`${number}.100.0.0/${length}`, '172.100.100.100']));
  for (const length of [7, 8, 15, 16, 24, 32]) {
    const subnets = [subnet('10.65.0.0/24', { gatewayIp: '10.65.0.1', dnsServers: many.map((number) => `192.168.100.${number}`), routes: routes(length) })];
    const addresses = ['10.65.0.11'];
    const { service, problems } = servePort(facts({ tap: 'tap12345678-ab', addresses, subnets }), serviceOptions);
    expect(problems).toContainEqual(expect.stringContaining('routes'));
    const host = printHost(hostEntryOf(service!.tap, service!.mac, service!.ipv4!, ['fa:16:3e:00:00:09']));
    expect(parseHost(host)).toBeDefined();
    for (const line of `${host}${printOptions(service!.tap, service!.ipv4!)}`.split('\n')) expect(line.length).toBeLessThan(1024);
  }
  const entry = parseHost(printHost({ tap: 'tap1', macs: ['fa:16:3e:00:00:01'], leases: [ip('10.65.0.11')], serverAddresses: [] }))!;
  expect(() => printHost({ ...entry, leases: many.map((number) => ip(`10.65.0.${number}`)) })).toThrow(RangeError);
});

/**
 * Splits lines like Dnsmasq 2.90 (option.c, read_file and split): quotes protect, `#` behind white space begins a comment, commas separate.
 * Throws for text that contains any of these special characters, because our files need none of them. A tenant's text is quoted as a whole; it becomes the word QUOTED.
 */
function dnsmasqLines(whole: string): string[][] {
  const text = whole.replace(/^([^"\n]*,)"[^"\\\n\r\0]*"$/gm, '$1QUOTED');
  expect(text).not.toMatch(/["\\\r\0]/);
  expect(text.endsWith('\n') || text === '').toBe(true);
  return text
    .split('\n')
    .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
    .filter((line) => line !== '')
    .map((line) => line.split(','));
}

const port = facts({
  addresses: ['10.65.0.11'],
  mtuBytes: 1442,
  fqdn: 'vm-1.cloud.example.',
  subnets: [subnet('10.65.0.0/24', { gatewayIp: '10.65.0.1', routes: { '10.99.0.0/16': '10.65.0.7' } })],
});
const { service } = servePort(port, serviceOptions);
const ipv4 = service?.ipv4;

test('the files of a port', () => {
  expect(printHost(hostEntryOf(port.tap, port.mac, ipv4!))).toBe('# 10.65.0.1/32\ntag:tap00000001-aa,fa:16:3e:00:00:01,10.65.0.11\n');
  expect(printHost(hostEntryOf(port.tap, port.mac, ipv4!, ['fa:16:3e:00:00:09', port.mac]))).toBe(
    '# 10.65.0.1/32\ntag:tap00000001-aa,fa:16:3e:00:00:01,fa:16:3e:00:00:09,10.65.0.11\n',
  );
  expect(printOptions(port.tap, ipv4!).split('\n')).toEqual([
    'tag:tap00000001-aa,249,0.0.0.0/0,10.65.0.1,10.99.0.0/16,10.65.0.7',
    'tag:tap00000001-aa,28,10.65.0.255',
    'tag:tap00000001-aa,26,1442',
    'tag:tap00000001-aa,15,cloud.example',
    'tag:tap00000001-aa,12,vm-1',
    'tag:tap00000001-aa,6,10.65.0.1',
    'tag:tap00000001-aa,3,10.65.0.1',
    'tag:tap00000001-aa,1,255.255.255.0',
    'tag:tap00000001-aa,121,0.0.0.0/0,10.65.0.1,10.99.0.0/16,10.65.0.7',
    '',
  ]);
});

describe('whatever a tenant chose', () => {
  const everyService = (check: (tap: string, mac: string, one: Ipv4Service) => void) =>
    fc.assert(
      fc.property(hostilePort, (hostile) => {
        const served = servePort(hostile, serviceOptions).service;
        for (const one of served?.ipv4 ? [served.ipv4] : []) check(hostile.tap, hostile.mac, one);
      }),
      { numRuns: 500 },
    );

  test('a hosts file is one line: for the port’s tap, MACs and addresses only', () => {
    everyService((tap, mac, one) => {
      expect(dnsmasqLines(printHost(hostEntryOf(tap, mac, one, ['fa:16:3e:00:00:09'])))).toEqual([[`tag:${tap}`, mac, 'fa:16:3e:00:00:09', ...one.leases]]);
    });
  });

  test('a hosts file reads back as what was written', () => {
    everyService((tap, mac, one) => {
      const entry = hostEntryOf(tap, mac, one, ['fa:16:3e:00:00:09']);
      expect(parseHost(printHost(entry))).toEqual(entry);
    });
  });

  test('an options file is a line for each option, for the port’s tap', () => {
    everyService((tap, _mac, one) => {
      const lines = dnsmasqLines(printOptions(tap, one));
      expect(lines.map(([tag, code]) => [tag, code])).toEqual(
        one.options.toReversed().map(({ code }) => [`tag:${tap}`, code === 255 ? 'option:server-ip-address' : `${code}`]),
      );
      for (const [, , ...values] of lines) for (const value of values) expect(value).toMatch(/^[-.:/[\]A-Za-z0-9]+$/);
    });
  });
});

test('whatever stands in a subnet and in a name in etcd, Dnsmasq reads lines for the port’s tap, of addresses, prefixes, numbers and names', () => {
  const text = fc.oneof(hostileText, fc.constantFrom('10.65.0.1', '10.65.0.0/24', '192.0.2.53', '2001:db8:a::1', '2001:db8:a::/64', '10.9.0.0/16'));
  const any = fc.oneof(text, fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<unknown>);
  /** A valid value in six of seven cases, because otherwise nearly every subnet would be refused. */
  const mostly = (good: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> => fc.oneof({ weight: 6, arbitrary: good }, { weight: 1, arbitrary: any });
  const address = fc.constantFrom('10.65.0.1', '192.0.2.53', '2001:db8:a::1', '0.0.0.0', '::');
  const route = mostly(fc.record({ destination: mostly(fc.constantFrom('10.9.0.0/16', '0.0.0.0/0', '2001:db8:9::/64')), nexthop: mostly(address) }));
  const hostileSubnet = fc.record({
    network_id: fc.constant('net-a'),
    cidr: fc.constantFrom('10.65.0.0/24', '2001:db8:a::/64'),
    gateway_ip: mostly(address),
    host_routes: mostly(fc.array(route, { maxLength: 3 })),
    dns_servers: mostly(fc.array(mostly(address), { maxLength: 3 })),
    ipv6_ra_mode: mostly(fc.constant(null)),
    ipv6_address_mode: mostly(fc.constant(null)),
  });
  let served = 0;
  fc.assert(
    fc.property(
      fc.array(fc.dictionary(fc.constantFrom('gateway_ip', 'host_routes', 'dns_servers'), any), { maxLength: 2 }),
      fc.array(hostileSubnet, { maxLength: 3 }),
      text,
      (partial, subnets, fqdn) => {
        const one = { id: 'port-1', tap: port.tap, mac: port.mac, networkId: 'net-a', addresses: ['10.65.0.11', '2001:db8:a::11'], fqdn };
        const model = createModel(serviceOptions);
        const all = [...subnets, ...partial.map((some) => ({ network_id: 'net-a', cidr: '10.65.0.0/24', host_routes: [], ...some }))];
        for (const [index, value] of all.entries()) model.setSubnet(keyOfSubnet(String(index)), bytes(JSON.stringify(value)));
        model.setEndpoint(endpointKey(one), bytes(endpointValue(one)));
        model.setTap(port.tap, 1500);
        for (const service of model.takeChanged().values()) {
          for (const family of service?.ipv4 ? [service.ipv4] : []) {
            served += 1;
            expect(dnsmasqLines(printHost(hostEntryOf(port.tap, port.mac, family)))).toEqual([[`tag:${port.tap}`, port.mac, ...family.leases]]);
            for (const [tag, code, ...values] of dnsmasqLines(printOptions(port.tap, family))) {
              expect(tag).toBe(`tag:${port.tap}`);
              expect(code).toMatch(/^\d+$/);
              for (const value of values) expect(value).toMatch(/^[-.:/[\]A-Za-z0-9]+$/);
            }
          }
        }
      },
    ),
    { numRuns: 1000 },
  );
  expect(served).toBeGreaterThan(100);
});

test('a file that this agent would not have written is no hosts file', () => {
  const good = printHost(hostEntryOf(port.tap, port.mac, ipv4!));
  for (const text of [
    '',
    good.slice(1),
    `${good}tag:x,fa:16:3e:00:00:02,10.65.0.12\n`,
    good.replace('10.65.0.11', '10.65.0.11,set:x'),
    good.replace('tap0', 'TAP0'),
    good.replace('\n', '\n\n'),
  ])
    expect(parseHost(text)).toBeUndefined();
  fc.assert(
    fc.property(hostileText, (text) => {
      const entry = parseHost(text);
      if (entry) expect(printHost(entry)).toBe(text);
    }),
  );
});
