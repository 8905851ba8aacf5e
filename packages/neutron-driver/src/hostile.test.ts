import { isFields } from '@calico-openstack/datamodel';
import { hostileWrites } from '@calico-openstack/datamodel/testing/hostile';
import { hostileEndpoint, hostileKinds } from '@calico-openstack/datamodel/testing/hostile-kinds';
import { expect, test } from 'vitest';
import { clusterInformationSpec, felixConfigurationSpec } from './cluster.ts';
import { birth, encodeContent, holds, storedFields } from './sync/content.ts';

const content = { kind: 'WorkloadEndpoint', name: 'x', namespace: 'openstack', labels: { a: 'b' }, annotations: { c: 'd' }, spec: { node: 'h' } };

test('any value under a key of the driver’s is left when it is right, and corrected otherwise', () => {
  const next = hostileWrites(
    [{ prefix: '/', names: ['x'], examples: [hostileEndpoint, { ...hostileEndpoint, ...JSON.parse(encodeContent(undefined, content, birth())) }] }],
    1,
  );
  let right = 0;
  for (let count = 0; count < 10_000; count += 1) {
    const stored = storedFields(next().value);
    if (holds(stored, content)) right += 1;
    const written = storedFields(Buffer.from(encodeContent(stored, content, birth())));
    // Other programs' metadata stay, unless the value would not be a resource of ours with them.
    expect(written?.['spec']).toEqual(content.spec);
    expect(isFields(written?.['metadata'])).toBe(true);
  }
  expect(right).toBeGreaterThan(100);
});

test('whatever the cluster’s records hold, missing fields are added, once', () => {
  const next = hostileWrites(hostileKinds(['felixconfigurations', 'clusterinformations']), 1);
  for (let count = 0; count < 10_000; count += 1) {
    const spec = storedFields(next().value)?.['spec'];
    const given = isFields(spec) ? spec : {};
    const felix = felixConfigurationSpec(given);
    expect(felixConfigurationSpec(felix)).toEqual(felix);
    const cluster = clusterInformationSpec(given, true, () => 'guid');
    expect(clusterInformationSpec(cluster, true, () => 'other')).toEqual(cluster);
  }
});
