import { stormSize } from '@calico-openstack/etcd/testing/storm';
import { test } from 'vitest';
import { birdUnderHostileValues } from './testing/hostile-storm.ts';

const { values, seed } = stormSize(0.2);

test(`none of ${values} values in etcd ends the BIRD agent or keeps it from its work (seed ${seed})`, () =>
  birdUnderHostileValues({ values, batchValues: 2500, seed }));
