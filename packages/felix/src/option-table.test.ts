import { etcdOfCfg, inForce, libcalicoSource, type Source, StartError } from '@calico-openstack/agent';
import { describe, expect, test } from 'vitest';
import { readFelixConfiguration } from './felix-configuration.ts';
import type { FelixConfig } from './option-table.ts';
import { renderOptions } from './render-options.ts';
import { localSources, resolveParameters } from './settings.ts';

const file = (values: Record<string, string>): Source => ({
  name: '/etc/calico/felix.cfg',
  dialect: 'cfg',
  texts: new Map(Object.entries(values).map(([name, value]) => [name.toLowerCase(), value])),
});
const environmentSource = (environment: Record<string, string>): Source => localSources([], environment)[0]!;
const resource = (name: string, spec: object, annotations: object = {}): Source => {
  const read = readFelixConfiguration(name, new TextEncoder().encode(JSON.stringify({ kind: 'FelixConfiguration', metadata: { name, annotations }, spec })));
  if (!read.ok) throw new Error(read.reason);
  return read.value.source;
};
const config = (...sources: Source[]): FelixConfig => inForce(resolveParameters(sources));
const etcdOptions = etcdOfCfg;
const resolveConfig = (sources: readonly Source[], lastGood?: FelixConfig) => {
  const { values, complaints } = resolveParameters(sources, lastGood);
  return { config: values, complaints };
};

describe('precedence', () => {
  test('environment, file, FelixConfiguration of the node, then the default one, then the default', () => {
    const sources = [
      environmentSource({ FELIX_METADATAPORT: '1' }),
      file({ metadataport: '2', HealthPort: '3' }),
      resource('node.h', { healthPort: 4, vxlanPort: 5 }),
      resource('default', { vxlanPort: 6, interfacePrefix: 'tap' }),
    ];
    expect(config(...sources)).toMatchObject({ MetadataPort: 1, HealthPort: 3, VXLANPort: 5, InterfacePrefix: ['tap'], Ipv6Support: true });
  });
  test('what is set to nothing is not set', () => expect(config(environmentSource({ FELIX_HEALTHPORT: '' }), file({ HealthPort: '3' })).HealthPort).toBe(3));
  test('names are taken in any case, from etcd’s too', () => {
    expect(etcdOptions(config(environmentSource({ felix_EtcdEndpoints: 'http://a:1,http://b:2/' })))).toEqual({ endpoints: ['http://a:1', 'http://b:2'] });
    expect(etcdOptions(config(file({ etcdaddr: 'e:4', ETCDSCHEME: 'https' })))).toEqual({ endpoints: ['https://e:4'] });
  });
  test('libcalico’s names count below the file, those with CALICO_ first', () => {
    const libcalico = libcalicoSource({ ETCD_ENDPOINTS: 'http://a:1', CALICO_ETCD_ENDPOINTS: 'http://b:1', ETCD_CA_CERT_FILE: '/ca' });
    expect(etcdOptions(config(libcalico))).toEqual({ endpoints: ['http://b:1'], caFile: '/ca' });
    expect(etcdOptions(config(file({ EtcdEndpoints: 'http://c:1' }), libcalico)).endpoints).toEqual(['http://c:1']);
  });
  test('what is for the host alone is not taken from the datastore', () => {
    const { config: resolved, complaints } = resolveConfig([resource('default', { etcdEndpoints: 'http://evil:1' })]);
    expect(resolved.EtcdEndpoints).toBeUndefined();
    expect(complaints).toMatchObject([{ option: 'EtcdEndpoints', source: 'FelixConfiguration default' }]);
  });
});

describe('fields of a FelixConfiguration', () => {
  test('durations, lists and other names become the parameters’ texts', () => {
    expect(
      config(resource('default', { reportingInterval: '1m30s', reportingTTL: '90s', endpointReportingEnabled: true, defaultEndpointToHostAction: 'Return' })),
    ).toMatchObject({
      ReportingIntervalSecs: 90,
      ReportingTTLSecs: 90,
      EndpointReportingEnabled: true,
      DefaultEndpointToHostAction: 'RETURN',
    });
  });
  test('an annotation beats the field', () =>
    expect(config(resource('default', { healthPort: 1 }, { 'config.projectcalico.org/HealthPort': '2' })).HealthPort).toBe(2));
});

describe('a FelixConfiguration that somebody made to hurt', () => {
  test.each([
    ['failsafeInboundHostPorts', [{ protocol: { toString: 1 }, port: 22 }]],
    ['failsafeInboundHostPorts', [{ protocol: { toLowerCase: 1 }, port: { valueOf: 1, toString: null } }]],
    ['interfacePrefix', ['tap', { toString: 1, toJSON: 1 }]],
    ['healthEnabled', { toString: 1 }],
    ['reportingInterval', [[[]]]],
    ['endpointReportingEnabled', 'constructor'],
    ['bpfEnabled', '__proto__'],
  ])('%s: %j takes nothing else away', (field, content) => {
    const hostile = resource('default', JSON.parse(`{"constructor":1,"__proto__":2,"${field}":${JSON.stringify(content)},"healthPort":7}`));
    expect(resolveConfig([hostile], config()).config).toEqual({ ...config(), HealthPort: 7 });
  });
});

describe('bad values', () => {
  test('give way to the next source’s, and are complained of with source and value', () => {
    const { config: resolved, complaints } = resolveConfig([environmentSource({ FELIX_HEALTHPORT: 'x' }), file({ HealthPort: '7' })]);
    expect(resolved.HealthPort).toBe(7);
    expect(complaints).toEqual([
      {
        option: 'HealthPort',
        source: 'environment',
        value: 'x',
        problem: "it must be a whole number from 0 to 65535; the next source's value or the default is used",
      },
    ]);
  });
  test('of what must not be wrong stop the start, and say where and what to do', () => {
    expect(() => config(file({ InterfacePrefix: 'tap eth' }))).toThrow(StartError);
    expect(() => config(file({ MetadataAddr: 'metadata.example' }))).toThrow('MetadataAddr is "metadata.example"');
    expect(() => config(file({ OpenstackRegion: 'Europe' }))).toThrow(
      'OpenstackRegion is "Europe" in /etc/calico/felix.cfg: it must be a lower-case DNS label of at most 46 characters. Correct it there, then start again.',
    );
  });
  test('of what must not be wrong leave the last good value at run time', () => {
    const before = config(file({ InterfacePrefix: 'tap' }));
    expect(resolveConfig([resource('default', { interfacePrefix: '!' })], before).config.InterfacePrefix).toEqual(['tap']);
  });
  test('passwords in the URL of an etcd are not taken, and not repeated', () => {
    for (const name of ['EtcdEndpoints', 'EtcdAddr']) {
      const act = (): unknown => config(file({ [name]: `http://root:sec/ret@etcd:2379` }));
      expect(act).toThrow(`${name} is "…@etcd:2379"`);
    }
  });
  test('a number of a million digits is refused like a short one', () => {
    const seconds = `${'1'.repeat(500_000)}x`;
    const { complaints } = resolveConfig([resource('default', { reportingInterval: seconds, healthPort: seconds })]);
    expect(complaints.map(({ option, value }) => [option, value.length])).toEqual([
      ['ReportingIntervalSecs', 201],
      ['HealthPort', 201],
    ]);
  });
  test('of which a part was meant for an option of its own are not repeated whole', () =>
    expect(() => config(file({ OpenstackRegion: 'Europe\nEtcdPassword = hunter2' }))).toThrow('OpenstackRegion is "Europe …" in /etc/calico/felix.cfg'));
  test('passwords are not repeated', () =>
    expect(JSON.stringify(resolveConfig([resource('default', { etcdPassword: 'secret' })]).complaints)).not.toContain('secret'));
});

describe('none', () => {
  test('turns off what may be off', () =>
    expect(config(environmentSource({ FELIX_METADATAADDR: 'None', FELIX_LOGFILEPATH: 'none', FELIX_LOGSEVERITYFILE: 'none' }))).toMatchObject({
      MetadataAddr: undefined,
      LogFilePath: undefined,
      LogSeverityFile: undefined,
    }));
  test('is refused where there must be something', () => expect(() => config(file({ InterfacePrefix: 'none' }))).toThrow('set to something'));
});

test.each([
  [{}, ['cali', 'tap']],
  [{ InterfacePrefix: 'tap' }, ['tap']],
  [{ InterfacePrefix: 'cali' }, ['cali', 'tap']],
  [{ InterfacePrefix: 'qvo, tap,vif' }, ['qvo', 'tap', 'vif']],
  [{ InterfacePrefix: 'ta' }, ['ta', 'tap']],
  [{ InterfacePrefix: '' }, ['cali', 'tap']],
  [{ MetadataAddr: 'none', MetadataPort: '0' }, ['cali', 'tap']],
])('with %j, interfaces %j* are policed, taps always', (values, interfacePrefixes) => {
  for (const sources of [[file(values)], [resource('default', values)]]) expect(renderOptions(config(...sources))).toMatchObject({ interfacePrefixes });
});

test.each([
  [{}, { rate: 20, unit: 'second', burst: 5 }],
  [
    { logActionRateLimit: '5/second', logActionRateLimitBurst: 7 },
    { rate: 5, unit: 'second', burst: 7 },
  ],
  [{ logActionRateLimit: '9999/Day' }, { rate: 9999, unit: 'day', burst: 5 }],
  [{ logActionRateLimit: 'none' }, undefined],
  [{ logActionRateLimit: '10000/second' }, { rate: 20, unit: 'second', burst: 5 }],
  [{ logActionRateLimit: '5/week' }, { rate: 20, unit: 'second', burst: 5 }],
])('with %j, a Log rule writes %j at most', (spec, logLimit) => expect(renderOptions(config(resource('default', spec))).logLimit).toEqual(logLimit));

test('the lowest two bits of the mark mask are ours', () =>
  expect(renderOptions(config(file({ NftablesMarkMask: '0xff00' })))).toMatchObject({ acceptMark: 0x100, passMark: 0x200 }));

describe('failsafe ports', () => {
  const inbound = (text: string) => config(file({ FailsafeInboundHostPorts: text })).FailsafeInboundHostPorts;
  test('are upstream’s unless set', () =>
    expect(config()).toMatchObject({
      FailsafeInboundHostPorts: [['udp', 68], ...[22, 179, 2379, 2380, 5473, 6443, 6666, 6667].map((port) => ['tcp', port])].map(([protocol, port]) => ({
        protocol,
        port,
      })),
      FailsafeOutboundHostPorts: [['udp', 53], ['udp', 67], ...[179, 2379, 2380, 5473, 6443, 6666, 6667].map((port) => ['tcp', port])].map(
        ([protocol, port]) => ({ protocol, port }),
      ),
    }));
  test('have a protocol, a net and a port; a number alone is TCP’s', () => {
    expect(inbound('22, UDP:10.0.0.5/8:68,tcp:[2001:DB8::/32]:443,tcp:192.0.2.1:80')).toEqual([
      { protocol: 'tcp', port: 22 },
      { protocol: 'udp', net: '10.0.0.0/8', port: 68 },
      { protocol: 'tcp', net: '2001:db8::/32', port: 443 },
      { protocol: 'tcp', net: '192.0.2.1/32', port: 80 },
    ]);
    expect(inbound('none')).toEqual([]);
  });
  test.each(['sctp:22', 'tcp:0', 'tcp:65536', 'tcp:22:23:24', 'tcp:x:22', 'tcp:', 'tcp:22,', '10.0.0.0/33:22', 'tcp:[10.0.0.0/8:22'])(
    '%s stops the start',
    (text) => expect(() => inbound(text)).toThrow(StartError),
  );
  test('of a FelixConfiguration are a list', () =>
    expect(
      config(
        resource('default', {
          failsafeOutboundHostPorts: [
            { protocol: 'UDP', port: 53 },
            { port: 80, net: '2001:db8::/32' },
          ],
        }),
      ).FailsafeOutboundHostPorts,
    ).toEqual([
      { protocol: 'udp', port: 53 },
      { protocol: 'tcp', net: '2001:db8::/32', port: 80 },
    ]));
});
