import { resourceKey } from '@calico-openstack/datamodel';
import { hostileWrites } from '@calico-openstack/datamodel/testing/hostile';
import { hostileKinds } from '@calico-openstack/datamodel/testing/hostile-kinds';
import { expect, test } from 'vitest';
import { printConfiguration } from './bird/print.ts';
import { registerInNode } from './node/registration.ts';
import { plan } from './plan/plan.ts';
import { createResourceStore, followedPrefixes } from './store.ts';
import { bytes } from './testing/bytes.ts';
import { host, lookups, nodeSpec } from './testing/facts.ts';

const kinds = hostileKinds(['nodes', 'bgpconfigurations', 'bgppeers', 'bgpfilters', 'ippools', 'livemigrations', 'workloadendpoints'], 'h1');
const followed = followedPrefixes(undefined, 'h1');

test.each([1, 2, 3])('whatever stands in the datastore, there is a plan that can be printed, or a reason why there is none (seed %i)', (seed) => {
  const store = createResourceStore({
    ownName: 'h1',
    onFault: (error) => {
      throw error;
    },
  });
  const next = hostileWrites(kinds, seed);
  const own = resourceKey({ plural: 'nodes', name: 'h1' });
  let planned = 0;
  for (let count = 1; count <= 4000; count += 1) {
    const { key, value } = next();
    if (followed.some((prefix) => key.startsWith(prefix))) store.apply([{ key, value, modRevision: count }]);
    if (count % 20 !== 0) continue;
    if (count % 40 === 0) store.apply([{ key: own, value: bytes(nodeSpec(1)), modRevision: count }]);
    const outcome = plan(store.resources, host(), lookups);
    for (const { reason } of outcome.problems) expect(reason.length).toBeLessThan(2000);
    if (!outcome.ok) continue;
    printConfiguration(outcome.configuration);
    planned += 1;
  }
  expect(planned).toBeGreaterThan(20); // many of the resources are valid enough for a plan
});

test('whatever this host’s Node is, it is left alone, or what is written into it can be read', () => {
  const next = hostileWrites([{ ...hostileKinds(['nodes'], 'h1')[0]!, names: ['h1'] }], 1);
  const wanted = { ipv4Address: '192.0.2.1/24', ipv6Address: undefined, asNumber: 64512 };
  const birth = () => ({ uid: 'u', creationTimestamp: '2026-01-01T00:00:00Z' });
  let written = 0;
  for (let count = 0; count < 5000; count += 1) {
    const { value } = next();
    const first = registerInNode(value, 'h1', wanted, birth);
    if (!first.ok || first.value === undefined) continue;
    written += 1;
    expect(registerInNode(Buffer.from(first.value), 'h1', wanted, birth)).toEqual({ ok: true, value: undefined });
  }
  expect(written).toBeGreaterThan(500);
});
