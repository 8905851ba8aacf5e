import { outputsOf, type Source } from '@calico-openstack/agent';
import { describe, expect, test } from 'vitest';
import { createSettingsKeeper, localSources, resolveParameters } from './settings.ts';

const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
const root = '/calico/resources/v3/projectcalico.org/';
const clusterKey = `${root}clusterinformations/default`;
const local: Source[] = [
  {
    name: 'environment',
    dialect: 'environment',
    texts: new Map([
      ['felix_healthport', '1'],
      ['felix_felixhostname', 'h1'],
    ]),
  },
];

test('nothing is ready before ClusterInformation says so, and a pause is honoured', () => {
  const keeper = createSettingsKeeper(local);
  expect(keeper.settings.ready).toBe(false);
  const say = (spec: object): boolean => {
    keeper.update(clusterKey, bytes({ spec }));
    keeper.refresh();
    return keeper.settings.ready;
  };
  expect(say({ clusterType: 'openstack' })).toBe(false);
  expect(say({ clusterType: 'openstack', datastoreReady: true })).toBe(true);
  expect(say({ datastoreReady: false })).toBe(false);
  say({ datastoreReady: true });
  keeper.update(clusterKey, undefined);
  expect(keeper.refresh().changed).toBe(true);
  expect(keeper.settings.ready).toBe(false);
});

test('the node’s FelixConfiguration beats the default one, local sources beat both, and going back is taken live', () => {
  const keeper = createSettingsKeeper(local);
  const put = (name: string, spec: object | undefined): void => {
    expect(keeper.update(`${root}felixconfigurations/${name}`, spec && bytes({ spec }))).toBe(name !== 'node.h2');
    keeper.refresh();
  };
  put('default', { healthPort: 2, vxlanPort: 3, interfacePrefix: 'tap' });
  put('node.h1', { vxlanPort: 4 });
  put('node.h2', { vxlanPort: 5 });
  expect(keeper.settings.config).toMatchObject({ HealthPort: 1, VXLANPort: 4, InterfacePrefix: ['tap'] });
  put('node.h1', undefined);
  expect(keeper.settings.config.VXLANPort).toBe(3);
});

test('a FelixConfiguration that cannot be read leaves the last good one in force, told once; only its deletion takes it away', () => {
  const keeper = createSettingsKeeper(local);
  const put = (value: unknown): readonly unknown[] => {
    keeper.update(`${root}felixconfigurations/default`, value === undefined ? undefined : bytes(value));
    const { complaints } = keeper.refresh();
    return [keeper.settings.config.VXLANPort, complaints.map(({ source, problem }) => `${source}: ${problem}`)];
  };
  const broken = (instead: string): unknown => [expect.stringMatching(new RegExp(`^FelixConfiguration default: .*; ${instead}$`))];
  expect(put('{')).toEqual([4789, broken('it counts as absent')]);
  expect(keeper.refresh()).toMatchObject({ changed: false, complaints: [] });
  expect(put({ spec: { vxlanPort: 3 } })).toEqual([3, []]);
  expect(put('{')).toEqual([3, broken('the last one that could be read stays in force')]);
  expect(put('{')).toEqual([3, []]);
  expect(put('null')).toEqual([3, broken('the last one that could be read stays in force')]);
  expect(put({ spec: {} })).toEqual([4789, []]);
  expect(put({ spec: { vxlanPort: 5 } })).toEqual([5, []]);
  expect(put('[]')[0]).toBe(5);
  expect(put(undefined)).toEqual([4789, []]);
});

test('other keys do not concern it', () => expect(createSettingsKeeper(local).update(`${root}tiers/default`, bytes('{}'))).toBe(false));

describe('a FelixConfiguration with a node selector', () => {
  const configuration = (nodeSelector: unknown, vxlanPort: number, created = '2026-01-01T00:00:00Z', more: object = {}) => ({
    metadata: { creationTimestamp: created },
    spec: { nodeSelector, vxlanPort, ...more },
  });
  function keeper() {
    const settings = createSettingsKeeper(local);
    return {
      /** Puts values in this order, and returns the port that is in force then. */
      put(values: Record<string, unknown>): number {
        for (const [name, value] of Object.entries(values)) settings.update(`${root}${name}`, value === undefined ? undefined : bytes(value));
        settings.refresh();
        return settings.settings.config.VXLANPort;
      },
      settings,
    };
  }
  const node = (labels: object) => ({ metadata: { labels } });
  const inRack = 'felixconfigurations/rack-1';

  test('counts while the host’s Node has the labels: above the default one, below the node’s own, below local sources', () => {
    const { put, settings } = keeper();
    expect(put({ 'felixconfigurations/default': { spec: { vxlanPort: 2 } }, [inRack]: configuration('rack == "1"', 3, undefined, { healthPort: 9 }) })).toBe(2);
    expect(put({ 'nodes/h2': node({ rack: '1' }) })).toBe(2);
    expect(put({ 'nodes/h1': node({ rack: '1' }) })).toBe(3);
    expect(settings.settings.config.HealthPort).toBe(1);
    expect(put({ 'felixconfigurations/node.h1': { spec: { vxlanPort: 4 } } })).toBe(4);
    expect(put({ 'felixconfigurations/node.h1': undefined })).toBe(3);
    expect(put({ 'nodes/h1': node({ rack: '2' }) })).toBe(2);
    expect(put({ 'nodes/h1': node({ rack: '1' }) })).toBe(3);
    expect(put({ 'nodes/h1': undefined })).toBe(2);
    expect(put({ [inRack]: configuration('!has(rack)', 3) })).toBe(2);
    expect(put({ 'nodes/h1': node({}) })).toBe(3);
  });

  test('of several that select the host the oldest counts, then the first by name, and it alone', () => {
    const { put, settings } = keeper();
    const values = {
      'nodes/h1': node({ rack: '1' }),
      'felixconfigurations/b': configuration('has(rack)', 11, '2026-01-02T00:00:00Z'),
      'felixconfigurations/c': configuration('has(rack)', 12, '2026-01-01T00:00:00Z'),
      'felixconfigurations/d': configuration('has(rack)', 13, '2026-01-01T00:00:00Z', { metadataPort: 5 }),
    };
    expect(put(values)).toBe(12);
    expect(settings.settings.config.MetadataPort).toBe(8775);
    expect(put({ 'felixconfigurations/c': undefined })).toBe(13);
    expect(put({ 'felixconfigurations/d': undefined })).toBe(11);
  });

  test('counts nowhere without a selector, and with one that cannot be read as it did before', () => {
    const { put, settings } = keeper();
    put({ 'nodes/h1': node({ rack: '1' }) });
    expect(put({ [inRack]: configuration(undefined, 3) })).toBe(4789);
    expect(put({ [inRack]: configuration('', 3) })).toBe(4789);
    expect(put({ [inRack]: configuration('rack ==', 3) })).toBe(4789);
    expect(put({ [inRack]: configuration('rack == "1"', 3) })).toBe(3);
    settings.update(`${root}${inRack}`, bytes(configuration({ rack: 1 }, 4)));
    const { complaints } = settings.refresh();
    expect(complaints).toEqual([
      { option: '', source: 'FelixConfiguration rack-1', value: '', problem: 'spec.nodeSelector is no text; the last one that could be read stays in force' },
    ]);
    expect(settings.settings.config.VXLANPort).toBe(3);
  });

  test('of the default one and a node’s own a selector says nothing', () => {
    const { put } = keeper();
    expect(put({ 'felixconfigurations/default': configuration('rack == "9"', 6) })).toBe(6);
    expect(put({ 'felixconfigurations/node.h1': configuration('rack == "9"', 7) })).toBe(7);
  });
});

describe('what is wrong with local sources is known before the datastore is asked', () => {
  const cfg = (values: Record<string, string>): Source => ({
    name: 'felix.cfg',
    dialect: 'cfg',
    texts: new Map(Object.entries(values).map(([name, value]) => [name.toLowerCase(), value])),
  });

  test('and is reported once', () => {
    const keeper = createSettingsKeeper([cfg({ HealthEnabled: 'perhaps' })]);
    expect(keeper.complaints).toMatchObject([{ option: 'HealthEnabled', source: 'felix.cfg' }]);
    expect(keeper.refresh().complaints).toEqual([]);
  });

  test.each([
    [{ BPFLogLevel: 'debug' }, 'BPFLogLevel', /does not act on it$/],
    [{ IptablesMarkMask: '0xff' }, 'IptablesMarkMask', /NftablesMarkMask is the one that counts$/],
    [{ EtcdEndpoint: 'http://a:1' }, 'etcdendpoint', /neither this Felix nor Calico's has such a parameter/],
  ])('%j', (values, option, problem) => {
    expect(createSettingsKeeper([cfg(values)]).complaints).toMatchObject([{ option, source: 'felix.cfg', problem: expect.stringMatching(problem) }]);
  });

  test.each([
    { UsageReportingEnabled: 'false' },
    { EndpointStatusPathPrefix: 'none' },
    { WireguardEnabled: 'false' },
    { PrometheusGoMetricsEnabled: 'false' },
    { PrometheusProcessMetricsEnabled: 'true' },
  ])('%j is what this Felix does, and nothing is said of it', (values) =>
    expect(createSettingsKeeper([cfg(values as Record<string, string>)]).complaints).toEqual([]),
  );

  test.each([{ WireguardEnabled: 'true' }, { WireguardEnabledV6: 'true' }, { WireguardHostEncryptionEnabled: 'yes' }])(
    '%j, which secures something, stops the start with a sentence',
    (values) => {
      const [name] = Object.keys(values);
      expect(() => createSettingsKeeper([cfg(values as Record<string, string>)])).toThrow(
        new RegExp(`^${name} is ".*" in felix\\.cfg: this Felix .*; .*remove this parameter`),
      );
    },
  );
});

test.each([
  [{}, undefined],
  [
    { PrometheusMetricsCertFile: '/c', PrometheusMetricsKeyFile: '/k' },
    { certFile: '/c', keyFile: '/k', caFile: undefined, clientAuth: 'NoClientCert' },
  ],
  [{ PrometheusMetricsKeyFile: '/k' }, { certFile: undefined, keyFile: '/k' }],
  [{ PrometheusMetricsCAFile: '/ca' }, { certFile: undefined, caFile: '/ca' }],
  [{ PrometheusMetricsClientAuth: 'RequireAnyClientCert' }, { certFile: undefined, clientAuth: 'RequireAnyClientCert' }],
  // A word that is none of the four must not open metrics to everybody.
  [{ PrometheusMetricsClientAuth: 'RequireClientCert' }, { clientAuth: 'RequireAndVerifyClientCert' }],
])('metrics with %j are served with the TLS %j, and never without when one of the parameters is set', (values, tls) => {
  const keeper = createSettingsKeeper([]);
  const spec = Object.fromEntries(Object.entries(values).map(([name, value]) => [`p${name.slice(1)}`, value]));
  keeper.update(`${root}felixconfigurations/default`, bytes({ spec: { prometheusMetricsEnabled: true, ...spec } }));
  keeper.refresh();
  const texts = new Map(Object.entries({ PrometheusMetricsEnabled: 'true', ...values }).map(([name, value]) => [name.toLowerCase(), value]));
  const file: Source = { name: 'felix.cfg', dialect: 'cfg', texts };
  for (const config of [keeper.settings.config, createSettingsKeeper([file]).settings.config]) {
    const { metrics } = outputsOf(config);
    if (tls === undefined) expect(metrics).toEqual({ host: '::', port: 9091, tls });
    else expect(metrics?.tls).toMatchObject(tls);
  }
});

test('fields of other features are reported once each, and do not hinder', () => {
  const keeper = createSettingsKeeper([]);
  keeper.update(`${root}felixconfigurations/default`, bytes({ spec: { bpfLogLevel: 'Debug', ipipMTU: 1400, floatingIPs: 'Disabled', healthPort: 7 } }));
  expect(keeper.refresh().complaints.map(({ option }) => option)).toEqual(['BPFLogLevel', 'IpInIpMtu']);
  expect(keeper.refresh().complaints).toEqual([]);
  expect(keeper.settings.config.HealthPort).toBe(7);
});

test('of names that nobody knows neither the text is shown, which may be a password, nor more than can be read; what matters among them counts', () => {
  const [complaint] = createSettingsKeeper([{ name: 'felix.cfg', dialect: 'cfg', texts: new Map([['etcdpasword', 'hunter2']]) }]).complaints;
  expect(complaint).toMatchObject({ option: 'etcdpasword', value: '…' });
  const keeper = createSettingsKeeper([]);
  const many = Object.fromEntries(Array.from({ length: 1000 }, (_, number) => [`${'x'.repeat(1000)}${number}`, 1]));
  keeper.update(`${root}felixconfigurations/default`, bytes({ spec: many }));
  const { complaints } = keeper.refresh();
  expect(complaints).toHaveLength(51);
  expect(complaints.at(-1)).toMatchObject({
    source: 'FelixConfiguration default',
    problem: '950 more names have no effect in this Felix, and are not listed',
  });
  expect(Math.max(...complaints.map(({ option }) => option.length))).toBe(80);
});

test('a file that does not exist counts as empty', () =>
  expect(localSources(['/nonexistent/felix.cfg'], {}).map(({ name, texts }) => [name, texts.size])).toContainEqual(['/nonexistent/felix.cfg', 0]));

describe('names that are no parameters', () => {
  const unknown = (count: number): readonly (readonly [string, string])[] => Array.from({ length: count }, (_, index) => [`strange${index}`, 'x']);
  const source = (name: string, ...texts: readonly (readonly [string, string])[]): Source => ({ name, dialect: 'cfg', texts: new Map(texts) });
  const complaintsOf = (...sources: readonly Source[]) => resolveParameters(sources).complaints;

  test('are all reported up to fifty', () => {
    const complaints = complaintsOf(source('a.cfg', ...unknown(50)));
    expect(complaints).toHaveLength(50);
    expect(complaints.every(({ option }) => option !== '')).toBe(true);
  });

  test('beyond fifty are counted, with the place of the last of them', () => {
    const complaints = complaintsOf(source('a.cfg', ...unknown(51)), source('b.cfg', ['other', 'x']));
    expect(complaints).toHaveLength(51);
    expect(complaints.at(-1)).toMatchObject({ source: 'b.cfg', problem: '2 more names have no effect in this Felix, and are not listed' });
  });

  test('do not hide one that must stop the start', () => {
    const stopping = complaintsOf(source('a.cfg', ...unknown(60), ['wireguardenabled', 'true'])).filter(({ stops }) => stops);
    expect(stopping).toMatchObject([{ option: 'WireguardEnabled' }]);
  });
});
