// The whole content of etcd after the demo's story: exactly what datastore.ts describes.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bringUp, type Lab } from '../lab.ts';
import { type Content, liveThrough } from '../story/content.ts';
import { tracesOf } from '../story/traces.ts';
import { agents, compactionKeys, expectedKeys, type Facts } from './datastore.ts';

let lab: Lab;
let content: Content;
const prefix = `t${process.pid}datastore`;

beforeAll(async () => {
  lab = await bringUp({ prefix });
  try {
    content = await liveThrough(lab);
    // A project's name is written later when Keystone does not answer in time.
    await lab.processes.until('the names of projects', async () => {
      const endpoints = [...(await lab.etcd.all())].filter(([key]) => key.includes('/workloadendpoints/'));
      return endpoints.every(([, value]) => value.includes('openstack-project-name')) || undefined;
    });
    // The Felix of its host reports the end of the VM some time later.
    await lab.processes.until('all traces of client-2 to vanish', async () => ((await tracesOf(lab, content.vms.client2)).length === 0 ? true : undefined));
  } catch (error) {
    await lab.down();
    throw error;
  }
});
afterAll(async () => {
  await lab?.down();
});

/** Normalises a value: leaves out empty lists, and sorts a policy's rules, whose order has no meaning because all of them allow. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value; // one of vitest's patterns
  const members = Object.entries(value).filter(([, member]) => !(Array.isArray(member) && member.length === 0));
  return Object.fromEntries(
    members.map(([name, member]) => {
      const inside = plain(member);
      return [
        name,
        Array.isArray(inside) && ['ingress', 'egress'].includes(name) ? inside.sort((a, b) => compare(JSON.stringify(a), JSON.stringify(b))) : inside,
      ];
    }),
  );
}
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const parsed = (text: string): unknown => (text.startsWith('{') ? JSON.parse(text) : text);

test('every key and every field is as described, and there are no others', async () => {
  const ports = (await lab.openstack.list('port')) as Facts['ports'];
  const [defaultGroup] = await lab.openstack.list('security_group', { name: 'default' });
  const found = Object.fromEntries([...(await lab.etcd.all())].map(([key, value]) => [key, parsed(value)]));
  const compaction = Object.keys(compactionKeys).some((key) => key in found) ? compactionKeys : {};
  const expected = { ...expectedKeys(lab, { content, ports, defaultGroup: defaultGroup!, projectId: ports[0]!.project_id }), ...compaction };
  expect(Object.keys(found).sort()).toEqual(Object.keys(expected).sort());
  expect(plain(found)).toEqual(plain(expected));
});

test('heartbeats and elections have leases of the right length, and nothing else has a lease', async () => {
  const printed = await lab.etcd.ctl('get', '', '--prefix', '-w', 'json');
  // A lease's id is too large for JSON.parse.
  const leased = [...printed.matchAll(/"key":"([^"]+)"[^{}]*"lease":(\d+)/g)].map(([, key = '', lease = '']) => [Buffer.from(key, 'base64').toString(), lease]);
  const seconds = async (lease: string): Promise<number> => {
    const told = await lab.etcd.ctl('lease', 'timetolive', BigInt(lease).toString(16), '-w', 'json');
    return (JSON.parse(told) as { 'granted-ttl': number })['granted-ttl'];
  };
  const times = Object.fromEntries(await Promise.all(leased.map(async ([key = '', lease = '']) => [key, await seconds(lease)])));
  const trigger = '/calico/compaction/v1/trigger';
  expect(times).toEqual({
    ...(trigger in times ? { [trigger]: 3600 } : {}),
    ...Object.fromEntries(lab.hosts.map(({ name }) => [`/calico/felix/v2/no-region/host/${name}/status`, 90])),
    ...Object.fromEntries(lab.hosts.flatMap(({ name }) => agents.map((agent) => [`/calico/openstack/v2/no-region/agent/${name}/${agent}`, 90]))),
    '/calico/openstack/v2/no-region/neutron_election': 60,
    '/calico/openstack/v1/neutron_election': 60,
  });
});
