import { stormSize } from '@calico-openstack/etcd/testing/storm';
import { afterAll, beforeAll, test } from 'vitest';
import { bringUpCloud, type Cloud } from './testing/cloud.ts';
import { driverUnderHostileValues } from './testing/hostile-storm.ts';

const { values, seed } = stormSize(0.1);

let cloud: Cloud;
beforeAll(async () => {
  cloud = await bringUpCloud(`nh${process.pid % 10_000}`);
  await cloud.felixReports('cmp-1');
});
afterAll(() => cloud?.lab.down());

test(`none of ${values} values in etcd stops the driver or keeps it from working (seed ${seed})`, async () => {
  const { id: network } = await cloud.openstack.create('network', { name: 'blue net' });
  await cloud.openstack.create('subnet', { network_id: network, ip_version: 4, cidr: '10.65.0.0/24' });
  const device = '6f1caa00-0000-4000-8000-000000000001';
  const port = await cloud.openstack.create('port', { network_id: network, device_owner: 'compute:nova', device_id: device, 'binding:host_id': 'cmp-1' });
  await driverUnderHostileValues(cloud, { id: port.id, device }, { values, batchValues: 2500, seed });
});
