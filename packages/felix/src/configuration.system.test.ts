// The configuration of a running agent: how it reports wrong options, and when; which hosts a FelixConfiguration with a selector reaches; what it reports of the host's name.

import { once } from 'node:events';
import { resourceKey, resourcePrefix, workloadEndpointName } from '@calico-openstack/datamodel';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TestHost } from './testing/host.ts';
import { felixConfiguration } from './testing/resources.ts';

let host: TestHost;
beforeEach(async () => {
  host = await TestHost.open();
});
afterEach(() => host.close());

const warnings = (): string[] => host.output.split('\n').filter((line) => line.includes('[WARNING]'));

test('a wrong option is reported while etcd is away, once, and what it gives way to is in force', async () => {
  await host.etcdProcess.kill();
  host.startAgent(undefined, {
    FELIX_HEALTHPORT: 'many',
    FELIX_BPFLOGLEVEL: 'debug',
    FELIX_HEALTPORT: '1',
    FELIX_HEALTHENABLED: 'true',
    FELIX_HEALTHHOST: '127.0.0.1',
  });
  await host.untilSaid('etcd is away');
  const said = (): string[] => warnings().filter((line) => line.includes('configuration:'));
  expect(said()).toHaveLength(3);
  expect(said().join('\n')).toMatch(/it must be a whole number from 0 to 65535.*option=HealthPort value=many source=environment/);
  expect(said().join('\n')).toMatch(/this Felix does not act on it.*option=BPFLogLevel/);
  expect(said().join('\n')).toMatch(/neither this Felix nor Calico's has such a parameter.*option=felix_healtport/);
  await host.etcdProcess.restart();
  await host.untilSaid('the datastore has been read');
  const asked = (): Promise<string> => host.exec('sh', '-c', "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:9099/liveness || true");
  await host.until(async () => (await asked()) === '200', 'health to be served');
  expect(said()).toHaveLength(3);
});

test.each([
  ['FELIX_ETCDENDPOINTS', 'etcd:2379', /EtcdEndpoints is "etcd:2379" in environment: it must be http:\/\/host:port/],
  ['FELIX_FELIXHOSTNAME', 'a b', /FelixHostname is "a b" in environment: it must be letters/],
  ['FELIX_WIREGUARDENABLED', 'true', /WireguardEnabled is "true" in environment: this Felix encrypts nothing/],
])('%s = %s keeps it from starting, with a sentence', async (name, value, sentence) => {
  host.startAgent(undefined, { [name]: value });
  expect(await once(host.agent!, 'close')).toEqual([1, null]);
  expect(host.output).toMatch(sentence);
  expect(host.output).not.toMatch(/^ +at /m);
});

test('a FelixConfiguration with a selector counts while this host’s Node has its labels', async () => {
  const node = (labels: object) => ({
    key: resourceKey({ plural: 'nodes', name: 'host0' }),
    value: JSON.stringify({ kind: 'Node', metadata: { name: 'host0', labels }, spec: {} }),
  });
  const health = async (): Promise<string> =>
    (await host.exec('sh', '-c', 'curl -s http://127.0.0.1:9197/liveness >/dev/null && echo served || echo not')).trim();
  await host.put(node({ rack: '2' }), {
    key: resourceKey({ plural: 'felixconfigurations', name: 'rack-1' }),
    value: JSON.stringify({
      kind: 'FelixConfiguration',
      metadata: { name: 'rack-1', creationTimestamp: '2026-01-01T00:00:00Z' },
      spec: { nodeSelector: 'rack == "1"', healthEnabled: true, healthHost: '127.0.0.1', healthPort: 9197 },
    }),
  });
  host.startAgent();
  await host.untilSaid('the datastore has been read');
  expect(await health()).toBe('not');
  await host.put(node({ rack: '1' }));
  await host.until(async () => (await health()) === 'served', 'health is served as the rack’s configuration wants it');
  await host.put(node({}));
  await host.until(async () => (await health()) === 'not', 'health is not served any more');
  await host.put(node({ rack: '1' }), felixConfiguration({ healthEnabled: false }));
  await host.until(async () => (await health()) === 'served', 'the rack’s configuration beats the default one');
});

test('endpoints of a host that is called so but for case are reported, with the option to set', async () => {
  const name = workloadEndpointName({ host: 'HOST0', orchestrator: 'openstack', workload: 'vm', endpoint: 'port' });
  await host.put({ key: `${resourcePrefix('workloadendpoints', 'openstack')}${name}`, value: '{}' });
  host.startAgent();
  await host.untilSaid('differs in case or domain only from this host');
  expect(warnings().join('\n')).toMatch(/set FelixHostname in felix\.cfg to that name.*host=host0 other=HOST0/);
});

test('--check-config reports what etcd sets with the rights of Felix alone, and writes nothing there', async () => {
  await host.put(
    felixConfiguration({ endpointReportingEnabled: true, metadataPort: 8776, vxlanPort: 'many' }),
    { key: resourceKey({ plural: 'felixconfigurations', name: 'node.host0' }), value: JSON.stringify({ spec: { metadataPort: 8777 } }) },
    { key: resourceKey({ plural: 'nodes', name: 'host0.example.org' }), value: '{}' },
  );
  const { revision } = await host.etcd.status();
  host.startAgent([process.execPath, new URL('bin/calico-felix.ts', import.meta.url).pathname, '--check-config', '--config-file', '/nonexistent']);
  expect(await once(host.agent!, 'close')).toEqual([1, null]);
  for (const line of [
    'InterfacePrefix = tap (environment)',
    'MetadataPort = 8777 (FelixConfiguration node.host0)',
    'EndpointReportingEnabled = true (FelixConfiguration default)',
    'VXLANPort = 4789 (default)',
    'spec.datastoreReady = true (ClusterInformation default)',
    'calico-felix: VXLANPort is "many" in FelixConfiguration default: it must be a whole number from 1 to 65535',
    'calico-felix: this host is host0, etcd knows host0.example.org: ',
  ])
    expect(host.output).toContain(line);
  expect((await host.etcd.status()).revision).toBe(revision);
});
