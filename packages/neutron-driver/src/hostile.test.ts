import { isFields } from '@calico-openstack/datamodel';
import { hostileWrites } from '@calico-openstack/datamodel/testing/hostile';
import { hostileEndpoint, hostileKinds } from '@calico-openstack/datamodel/testing/hostile-kinds';
import { expect, test } from 'vitest';
import { clusterInformationSpec, felixConfigurationSpec } from './cluster.ts';
import { birth, encodeContent, holds, storedFields } from './sync/content.ts';

const content = { kind: 'WorkloadEndpoint', name: 'x', namespace: 'openstack', labels: { a: 'b' }, annotations: { c: 'd' }, spec: { node: 'h' } };

test('whatever stands under a key of the driver’s, it is left where it is right, and else written so that it is', () => {
  const next = hostileWrites(
    [{ prefix: '/', names: ['x'], examples: [hostileEndpoint, { ...hostileEndpoint, ...JSON.parse(encodeContent(undefined, content, birth())) }] }],
    1,
  );
  let right = 0;
  for (let count = 0; count < 10_000; count += 1) {
    const stored = storedFields(next().value);
    if (holds(stored, content)) right += 1;
    const written = storedFields(Buffer.from(encodeContent(stored, content, birth())));
    // What others have put into the metadata stays, but for what makes the value no resource of ours.
    expect(written?.['spec']).toEqual(content.spec);
    expect(isFields(written?.['metadata'])).toBe(true);
  }
  expect(right).toBeGreaterThan(100);
});

test('whatever the cluster’s records are, what is missing is added, and once', () => {
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
