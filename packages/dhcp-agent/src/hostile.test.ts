import { subnetPrefix } from '@calico-openstack/datamodel';
import { hostileWrites } from '@calico-openstack/datamodel/testing/hostile';
import { hostileKinds, hostileSubnet } from '@calico-openstack/datamodel/testing/hostile-kinds';
import { expect, test } from 'vitest';
import { createModel } from './model.ts';
import { hostName } from './testing/etcd-values.ts';
import { serviceOptions } from './testing/facts.ts';

const subnets = subnetPrefix(undefined);
const kinds = [...hostileKinds(['workloadendpoints'], hostName), { prefix: subnets, names: ['hostile-0', 'hostile-1'], examples: [hostileSubnet] }];

test.each([1, 2, 3])('whatever the datastore holds, the services follow from it, and end with it (seed %i)', (seed) => {
  const model = createModel(serviceOptions);
  model.setTap('taphostile-1', 1500);
  const next = hostileWrites(kinds, seed);
  const keys = new Set<string>();
  const set = (key: string, value: Uint8Array | undefined): void => (key.startsWith(subnets) ? model.setSubnet(key, value) : model.setEndpoint(key, value));
  let served = 0;
  for (let count = 0; count < 4000; count += 1) {
    const { key, value } = next();
    keys.add(key);
    set(key, value);
    if (count % 10 !== 0) continue;
    for (const service of model.takeChanged().values()) if (service) served += 1;
  }
  expect(served).toBeGreaterThan(100); // many of the ports are valid enough to be served
  for (const key of keys) set(key, undefined);
  expect([...model.takeChanged().values()].filter((service) => service !== undefined)).toEqual([]);
  expect(model.problems.size).toBe(0);
});
