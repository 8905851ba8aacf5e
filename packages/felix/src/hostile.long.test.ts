import { stormSize } from '@calico-openstack/etcd/testing/storm';
import { test } from 'vitest';
import { felixUnderHostileValues } from './testing/hostile-storm.ts';

const { values, seed } = stormSize(0.55);

test(`none of ${values} values in etcd ends Felix or keeps it from its work (seed ${seed})`, () =>
  felixUnderHostileValues({ values, batchValues: 2500, seed }));
