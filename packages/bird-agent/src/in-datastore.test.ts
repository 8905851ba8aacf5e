import { optionsInForce } from '@calico-openstack/agent';
import { resourceKey } from '@calico-openstack/datamodel';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { expect, test } from 'vitest';
import { inDatastore } from './in-datastore.ts';
import { registeredAnnotation } from './node/registration.ts';
import { readOptions } from './option-table.ts';

/** The complaints and values for an agent with these variables, and a datastore with these resources (by plural and name). */
async function reportOf(environment: Record<string, string>, resources: Record<string, object>) {
  const { etcd } = fakeEtcd();
  for (const [path, value] of Object.entries(resources)) {
    const [plural, name] = path.split('/') as ['nodes', string];
    await etcd.transact([], [{ put: resourceKey({ plural, name }), value: JSON.stringify(value) }]);
  }
  const { resolution, lines, complaints } = await inDatastore(readOptions([], { CALICO_BIRD_AGENT_HOSTNAME: 'h1', ...environment }), etcd);
  return { inForce: optionsInForce(resolution!).filter((line) => /^(AsNumber|IPv4Address|IPv6Address|RouterId) /.test(line)), lines, complaints };
}
const asNumber = { CALICO_BIRD_AGENT_ASNUMBER: '64600' };
const node = (bgp: object, ours: object = {}) => ({ metadata: { annotations: { [registeredAnnotation]: JSON.stringify(ours) } }, spec: { bgp } });

test.each<readonly [string, Record<string, string>, Record<string, object>, string]>([
  ['nothing', {}, {}, "BGPConfiguration's, or 64512 (default)"],
  ['BGPConfiguration', {}, { 'bgpconfigurations/default': { spec: { asNumber: 64700 } } }, '64700 (BGPConfiguration default)'],
  [
    'BGPConfiguration of this host, which must not',
    {},
    { 'bgpconfigurations/node.h1': { spec: { asNumber: 64700 } } },
    "BGPConfiguration's, or 64512 (default)",
  ],
  ['an operator in the Node', asNumber, { 'nodes/h1': node({ asNumber: 64800 }) }, '64800 (Node h1)'],
  ['the option, over what the agent wrote', asNumber, { 'nodes/h1': node({ asNumber: 64800 }, { asNumber: 64800 }) }, '64600 (environment)'],
  ['the option, over BGPConfiguration', asNumber, { 'bgpconfigurations/default': { spec: { asNumber: 64700 } } }, '64600 (environment)'],
])('an AS number is set by %s', async (_, environment, resources, expected) =>
  expect((await reportOf(environment, resources)).inForce).toContain(`AsNumber = ${expected}`),
);

test('addresses and router id come from the Node where no option sets them', async () => {
  const there = { 'nodes/h1': node({ ipv4Address: '10.0.0.1/24', ipv6Address: 'fd00::1/64' }) };
  expect((await reportOf({}, there)).inForce).toEqual(expect.arrayContaining(['IPv4Address = 10.0.0.1/24 (Node h1)', 'IPv6Address = fd00::1/64 (Node h1)']));
  expect((await reportOf({}, there)).inForce).toContain('RouterId = 10.0.0.1 (Node h1)');
  expect((await reportOf({ CALICO_BIRD_AGENT_ROUTERID: '10.9.9.9' }, there)).inForce).toContain('RouterId = 10.9.9.9 (environment)');
  expect((await reportOf({ CALICO_BIRD_AGENT_IPV4ADDRESS: '10.0.0.1' }, there)).inForce).toContain('IPv4Address = 10.0.0.1 (environment)');
});

test('BGPConfiguration is reported with what counts of it for this host, and what is ignored is complained of', async () => {
  const { lines, complaints } = await reportOf(
    {},
    {
      'bgpconfigurations/default': {
        spec: {
          nodeToNodeMeshEnabled: false,
          logSeverityScreen: 'Info',
          nodeMeshPassword: { secretKeyRef: { name: 'a', key: 'b' } },
          serviceLoadBalancerIPs: [],
        },
      },
      'bgpconfigurations/node.h1': { spec: { logSeverityScreen: 'Debug', nodeToNodeMeshEnabled: true } },
      'nodes/H1': {},
    },
  );
  expect(lines).toEqual([
    'spec.nodeToNodeMeshEnabled = false (BGPConfiguration default)',
    'spec.logSeverityScreen = "Debug" (BGPConfiguration node.h1)',
    'spec.nodeMeshPassword = … (BGPConfiguration default)',
  ]);
  expect(complaints.map(({ source, problem }) => `${source}: ${problem}`)).toEqual([
    'BGPConfiguration default: spec.serviceLoadBalancerIPs: is not supported; the field is ignored',
    'BGPConfiguration node.h1: spec.nodeToNodeMeshEnabled: only BGPConfiguration default may have it; the field is ignored',
    expect.stringContaining('this host is h1, etcd knows H1: '),
  ]);
});

test('a Node or a BGPConfiguration that is not understood is complained of, and decides nothing', async () => {
  const { inForce, complaints } = await reportOf({}, { 'nodes/h1': node({ asNumber: 'x' }), 'bgpconfigurations/default': { spec: { asNumber: -1 } } });
  expect(inForce).toContain("AsNumber = BGPConfiguration's, or 64512 (default)");
  expect(complaints).toMatchObject([{ source: 'Node h1' }, { source: 'BGPConfiguration default' }]);
});
