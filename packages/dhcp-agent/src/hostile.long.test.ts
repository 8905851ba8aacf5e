import { stormSize } from '@calico-openstack/etcd/testing/storm';
import { test } from 'vitest';
import { dhcpUnderHostileValues } from './testing/hostile-storm.ts';

const { values, seed } = stormSize(0.15);

test(`none of ${values} values in etcd ends the DHCP agent or keeps it from serving (seed ${seed})`, () =>
  dhcpUnderHostileValues({ values, batchValues: 2500, seed }));
