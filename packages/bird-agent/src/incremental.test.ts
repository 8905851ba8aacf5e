// Tests that planning and printing only what has changed gives the same text as an agent that has just started, whatever changes and in whatever order.
import { resourceKey, workloadEndpointName } from '@calico-openstack/datamodel';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createPrinter, printConfiguration } from './bird/print.ts';
import type { Host } from './plan/facts.ts';
import { createPlanner, plan } from './plan/plan.ts';
import { createResourceStore, type ResourceStore } from './store.ts';
import { bytes } from './testing/bytes.ts';
import { host, lookups } from './testing/facts.ts';

type Change = Parameters<ResourceStore['apply']>[0][number];
type Value = { readonly spec: object; readonly metadata?: object } | undefined;

const change = (key: string, value: Value): Change => ({ key, value: value && bytes(value.spec, value.metadata), modRevision: 1 });
const openStore = (): ResourceStore =>
  createResourceStore({
    ownName: 'h1',
    onFault: (error) => {
      throw error;
    },
  });

const hosts = 200;
const number = fc.integer({ min: 1, max: hosts });
const node = (name: string, address: number, more: object = {}, metadata: object = {}): Change =>
  change(resourceKey({ plural: 'nodes', name }), {
    spec: { bgp: { ipv4Address: `10.64.0.${address}/24`, ipv6Address: `2001:db8::${address}/64`, ...more } },
    metadata,
  });
const all = Array.from({ length: hosts }, (_, index) => node(`h${index + 1}`, index + 1));

const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });
const named = (
  plural: 'bgpconfigurations' | 'bgppeers' | 'bgpfilters' | 'ippools',
  names: readonly string[],
  spec: fc.Arbitrary<object>,
): fc.Arbitrary<Change> =>
  fc.tuple(fc.constantFrom(...names), optional(spec)).map(([name, value]) => change(resourceKey({ plural, name }), value && { spec: value }));

/** Changes of Nodes: they are added and removed, and take each other's and this host's addresses. Some are in another AS, are route reflectors, or have a label. */
const nodes = fc
  .record({
    name: number,
    address: number,
    asNumber: fc.constantFrom(undefined, undefined, 64999),
    routeReflectorClusterID: fc.constantFrom(undefined, undefined, undefined, '244.0.0.1'),
    labels: fc.constantFrom({}, { rack: 'r1' }),
    made: fc.constantFrom('2026-01-01T00:00:00Z', '2026-02-01T00:00:00Z'),
  })
  .map(({ name, address, labels, made, ...bgp }) => node(`h${name}`, address, bgp, { labels, creationTimestamp: made }));
const gone = number.filter((name) => name !== 1).map((name) => change(resourceKey({ plural: 'nodes', name: `h${name}` }), undefined));
const configurations = named(
  'bgpconfigurations',
  ['default', 'node.h1', 'node.h7'],
  fc.record({
    asNumber: fc.constantFrom(undefined, 65100),
    nodeToNodeMeshEnabled: fc.constantFrom(true, true, true, false),
    listenPort: fc.constantFrom(undefined, 1790),
    logSeverityScreen: fc.constantFrom('Info', 'Debug'),
    ignoredInterfaces: fc.constantFrom(undefined, ['docker*']),
    localWorkloadPeeringIPV4: fc.constantFrom(undefined, '169.254.0.179'),
  }),
);
const peers = named(
  'bgppeers',
  ['a', 'b', 'c'],
  fc.oneof(
    fc.record({
      peerIP: number.map((address) => `10.64.0.${address}`),
      asNumber: fc.constantFrom(64512, 65000),
      filters: fc.constantFrom([], ['f'], ['g', 'f']),
    }),
    fc.record({ peerSelector: fc.constantFrom('rack == "r1"', 'all()'), nodeSelector: fc.constantFrom('all()', 'rack == "r1"') }),
    fc.constant({ localWorkloadSelector: 'all()', asNumber: 65001, filters: ['f'] }),
  ),
);
const filters = named(
  'bgpfilters',
  ['f', 'g'],
  fc.record({ importV4: fc.subarray([{ action: 'Accept', cidr: '10.0.0.0/8', matchOperator: 'In' }, { action: 'Reject' }]) }),
);
const pools = named('ippools', ['one', 'two'], fc.record({ cidr: fc.constantFrom('10.64.0.0/16', '10.64.0.128/25', '10.65.0.0/16', '2001:db8::/96') }));
const workloads = fc.tuple(fc.integer({ min: 1, max: 3 }), fc.boolean()).map(([endpoint, exists]) => {
  const name = workloadEndpointName({ host: 'h1', orchestrator: 'openstack', workload: 'vm', endpoint: `port${endpoint}` });
  const spec = { interfaceName: `tap${endpoint}`, ipNetworks: [`10.65.0.${endpoint}/32`], allowedIps: [] };
  return change(resourceKey({ plural: 'workloadendpoints', namespace: 'openstack', name }), exists ? { spec } : undefined);
});
const facts: fc.Arbitrary<Partial<Host>> = fc.record({
  addresses: fc.subarray(['10.64.0.1/24', '10.64.0.9/24', '192.0.2.1/32']) as fc.Arbitrary<never>,
  datastoreAddresses: fc.subarray(['10.64.0.5', '198.51.100.1']) as fc.Arbitrary<never>,
  mostRoutes: fc.constantFrom(undefined, 100),
});
const batch = fc.record({ changes: fc.array(fc.oneof(nodes, nodes, gone, configurations, peers, filters, pools, workloads), { maxLength: 4 }), facts });

test('after any changes, plan and text are those of an agent that has just read the same values', () => {
  fc.assert(
    fc.property(fc.array(batch, { maxLength: 8 }), (batches) => {
      const [store, planner, printer] = [openStore(), createPlanner(), createPrinter()];
      const present = new Map<string, Change>();
      for (const { changes, facts: change } of [{ changes: all, facts: {} }, ...batches]) {
        store.apply(changes);
        for (const each of changes) {
          present.delete(each.key);
          if (each.value) present.set(each.key, each);
        }
        const other = openStore();
        other.apply([...present.values()]);
        const [planned, fresh] = [planner(store.resources, host(change), lookups), plan(other.resources, host(change), lookups)];
        expect(planned.problems).toEqual(fresh.problems);
        expect(planned.ok).toBe(fresh.ok);
        if (planned.ok && fresh.ok) expect(printer(planned.configuration)).toEqual(printConfiguration(fresh.configuration));
      }
    }),
    { numRuns: 30 },
  );
});
