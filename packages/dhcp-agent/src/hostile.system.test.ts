import { stormSize } from '@calico-openstack/etcd/testing/storm';
import { test } from 'vitest';
import { dhcpUnderHostileValues } from './testing/hostile-storm.ts';

const { seed } = stormSize(1);

test(`no value in etcd ends the DHCP agent or keeps it from serving (seed ${seed})`, () => dhcpUnderHostileValues({ values: 1000, batchValues: 250, seed }));
