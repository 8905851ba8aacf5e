import { expect, test } from 'vitest';
import { resourceKey } from './keys.ts';
import { workloadEndpointName } from './names.ts';
import { findNamesakes, findNodeNamesakes } from './namesakes.ts';

const keyOf = (host: string): string =>
  resourceKey({
    plural: 'workloadendpoints',
    namespace: 'openstack',
    name: workloadEndpointName({ host, orchestrator: 'openstack', workload: 'vm', endpoint: 'port' }),
  });
const find = (host: string, ...hosts: readonly string[]) =>
  findNamesakes(undefined, host, async (prefix) => hosts.map(keyOf).filter((key) => key.startsWith(prefix)));

test.each<readonly [string, readonly string[], object]>([
  ['compute-1', [], { own: false, others: [] }],
  ['compute-1', ['compute-1'], { own: true, others: [] }],
  ['compute-1', ['Compute-1'], { own: false, others: ['Compute-1'] }],
  ['compute-1', ['COMPUTE-1', 'compute-1'], { own: true, others: ['COMPUTE-1'] }],
  ['compute-1', ['compute-1.example.org'], { own: false, others: ['compute-1.example.org'] }],
  ['compute-1', ['Compute-1.Example.org'], { own: false, others: ['Compute-1.Example.org'] }],
  ['compute-1.example.org', ['compute-1', 'Compute-1.example.org'], { own: false, others: ['Compute-1.example.org', 'compute-1'] }],
  ['compute-1.example.org', ['compute-1.example.org'], { own: true, others: [] }],
  ['Compute-1', ['compute-1'], { own: false, others: ['compute-1'] }],
  ['compute-1', ['compute-10', 'compute-1x.example.org', 'xcompute-1', 'compute-2', 'compute'], { own: false, others: [] }],
  ['compute-1.example.org', ['compute-1.example.com'], { own: false, others: [] }],
])('for %s, of endpoints of %j: %j', async (host, hosts, expected) => expect(await find(host, ...hosts)).toEqual(expected));

test('of a host no more is read than names that may be its own', async () => {
  const asked: string[] = [];
  await findNamesakes(undefined, 'compute-1', async (prefix) => {
    asked.push(prefix.slice(prefix.lastIndexOf('/') + 1));
    return [];
  });
  expect(asked).toEqual(['compute--1-openstack-', 'COMPUTE--1-openstack-', 'Compute--1-openstack-', 'compute--1.', 'COMPUTE--1.', 'Compute--1.']);
});

test('what cannot be read is not nothing', async () => {
  await expect(findNamesakes(undefined, 'h', () => Promise.reject(new Error('no right')))).rejects.toThrow('no right');
});

test.each<readonly [string, readonly string[], readonly string[]]>([
  ['compute-1', ['compute-1', 'compute-10', 'compute-2'], []],
  ['compute-1', ['Compute-1', 'compute-1.example.org', 'COMPUTE-1.example.org', 'compute-1x'], ['COMPUTE-1.example.org', 'Compute-1', 'compute-1.example.org']],
  ['compute-1.example.org', ['compute-1', 'Compute-1.example.org', 'compute-1.example.com'], ['Compute-1.example.org', 'compute-1']],
  ['Compute-1', ['compute-1'], ['compute-1']],
])('for %s, of the Nodes %j: %j', async (host, nodes, expected) => {
  const keys = nodes.map((name) => resourceKey({ plural: 'nodes', name }));
  expect(await findNodeNamesakes(host, async (prefix) => keys.filter((key) => key.startsWith(prefix)))).toEqual(expected);
});
