import { stormSize } from '@calico-openstack/etcd/testing/storm';
import { test } from 'vitest';
import { birdUnderHostileValues } from './testing/hostile-storm.ts';

const { seed } = stormSize(1);

test(`no value in etcd ends the BIRD agent or keeps it from its work (seed ${seed})`, () => birdUnderHostileValues({ values: 1500, batchValues: 500, seed }));
