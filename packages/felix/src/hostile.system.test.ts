import { stormSize } from '@calico-openstack/etcd/testing/storm';
import { test } from 'vitest';
import { felixUnderHostileValues } from './testing/hostile-storm.ts';

const { seed } = stormSize(1);

test(`no value in etcd ends Felix or keeps it from its work (seed ${seed})`, () => felixUnderHostileValues({ values: 3500, batchValues: 500, seed }));
