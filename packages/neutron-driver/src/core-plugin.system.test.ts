// Tests what operators of upstream's driver have in neutron.conf and type: core_plugin = calico, and calico-resync's options.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bringUpCloud, type Cloud } from './testing/cloud.ts';

let cloud: Cloud;
beforeAll(async () => {
  cloud = await bringUpCloud(`t${process.pid}core`, { corePlugin: true });
}, 300_000);
afterAll(() => cloud?.lab.down());

/** A port on the lab's host, as Nova creates it. */
async function createPort(network: string): Promise<string> {
  const bound = { device_owner: 'compute:nova', device_id: randomUUID(), 'binding:host_id': 'host-1' };
  return (await cloud.openstack.create('port', { network_id: network, ...bound })).id;
}

test('with core_plugin = calico, ports are bound and written, and calico-resync repairs the objects that it is told', { timeout: 120_000 }, async () => {
  await cloud.felixReports('host-1');
  const network = await cloud.openstack.create('network', { name: 'one' });
  await cloud.openstack.create('subnet', { network_id: network.id, ip_version: 4, cidr: '10.65.0.0/24' });
  const [one, two] = [await createPort(network.id), await createPort(network.id)];
  for (const port of [one, two]) expect(Object.keys(await cloud.endpointsOf(port))).toEqual(['host-1']);
  expect(await cloud.openstack.list('router')).toEqual([]); // the router plugin is loaded although the file does not name it
  await cloud.settled();
  const keys = Object.keys(await cloud.endpoints());
  for (const key of keys) await cloud.lab.etcd.ctl('del', key);
  expect(await cloud.resync('--port', one)).toMatchObject({ ok: true, scope: { all: false, ports: [one] }, phases: { endpoints: { created: 1 } } });
  expect(Object.keys(await cloud.endpointsOf(one))).toEqual(['host-1']);
  expect(await cloud.endpointsOf(two)).toEqual({});
  expect(await cloud.resync('--network', network.id)).toMatchObject({ ok: true, phases: { subnets: { correct: 1 }, endpoints: { correct: 1, created: 1 } } });
  expect(Object.keys(await cloud.endpointsOf(two))).toEqual(['host-1']);
});
