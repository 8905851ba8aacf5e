import { hostileWrites } from '@calico-openstack/datamodel/testing/hostile';
import { hostileKinds, policyPlurals } from '@calico-openstack/datamodel/testing/hostile-kinds';
import { expect, test } from 'vitest';
import { createPolicyCalculation } from './calculation.ts';

const kinds = hostileKinds(policyPlurals);

test.each([1, 2, 3])('whatever stands in the datastore, the calculation goes on, has no fault of its own, and forgets it (seed %i)', (seed) => {
  const calculation = createPolicyCalculation({ host: 'host0', allowSourceSpoofing: true });
  const next = hostileWrites(kinds, seed);
  const keys = new Set<string>();
  const seen = { endpoints: 0, policies: 0, defects: 0 };
  for (let count = 1; count <= 6000; count += 1) {
    const { key, value } = next();
    keys.add(key);
    calculation.update(key, value);
    if (count % 100 !== 0) continue;
    const { workloads, policies } = calculation.flush();
    seen.endpoints += workloads.size;
    seen.policies += policies.size;
    for (const defect of calculation.takeDefects().values()) {
      expect(defect?.reason ?? '').not.toContain('by a fault of ours');
      seen.defects += 1;
    }
  }
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(50); // enough of the values are understood to test more than noise
  for (const key of keys) calculation.update(key, undefined);
  calculation.flush();
  calculation.takeDefects();
  expect(new Set(Object.values(calculation.counts()))).toEqual(new Set([0]));
});
