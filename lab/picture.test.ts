import { expect, test } from 'vitest';
import { draw } from './picture.ts';
import type { Scene, SceneHost } from './scene.ts';

const host = (number: number, more: Partial<SceneHost> = {}): SceneHost => ({
  name: `host-${number}`,
  address: `172.16.${number}.2`,
  asNumber: 64500 + number,
  bgp: 'Established',
  services: [{ name: 'bird', running: true }],
  vms: [],
  routes: [],
  ...more,
});

const scene = (hosts: readonly SceneHost[], routes: Scene['router']['routes'] = []): Scene => ({
  prefix: 'lab',
  control: { name: 'control', address: '172.16.0.2', services: [{ name: 'etcd', running: true }] },
  router: { name: 'router', asNumber: 64500, routes },
  hosts,
});

const to = (via: string, ...destinations: string[]) => destinations.map((destination) => ({ destination, via }));

test('the picture shows hosts, VMs, addresses and routes; a VM’s addresses share a line when their routes agree', () => {
  const first = host(1, {
    vms: [
      { name: 'web', tap: 'tap0bbbe8da-69', addresses: ['10.65.0.11', '2001:db8::11'] },
      { name: 'db', tap: 'tap19c7124b-7d', addresses: ['10.65.0.12', '2001:db8::12'] },
    ],
    routes: [...to('tap0bbbe8da-69', '10.65.0.11', '2001:db8::11'), ...to('tap19c7124b-7d', '10.65.0.12', '2001:db8::12')],
    services: [
      { name: 'bird', running: true },
      { name: 'felix', running: false },
    ],
  });
  const second = host(2, { bgp: 'Connect', routes: to('router', '10.65.0.11', '2001:db8::11', '10.65.0.12', '192.0.2.7') });
  expect(draw(scene([first, second], to('host-1', '10.65.0.11', '2001:db8::11', '10.65.0.12', '2001:db8::12')))).toBe(
    `\
router  AS 64500
├─ control  172.16.0.2                             runs etcd
├─ host-1   172.16.1.2  AS 64501, BGP Established  runs bird; DOES NOT RUN: felix
│  ├─ web  10.65.0.11  2001:db8::11  tap0bbbe8da-69
│  └─ db   10.65.0.12  2001:db8::12  tap19c7124b-7d
└─ host-2   172.16.2.2  AS 64502, BGP Connect      runs bird

routes         on router        on host-1        on host-2
web            host-1           tap0bbbe8da-69   router
10.65.0.12     host-1           tap19c7124b-7d   router
2001:db8::12   host-1           tap19c7124b-7d   -
192.0.2.7      -                -                router`,
  );
});

test('without routes there is no table', () => {
  expect(draw(scene([host(1)]))).not.toContain('routes');
});

test.each([60, 80, 120])('tables of many hosts’ routes fit into %i columns, and no route is left out', (width) => {
  const hosts = Array.from({ length: 9 }, (_, index) => host(index + 1, { routes: to('router', '10.65.0.11') }));
  const drawn = draw(scene(hosts, to('host-1', '10.65.0.11'))).split('\n\n');
  const tables = draw(scene(hosts, to('host-1', '10.65.0.11')), width)
    .split('\n\n')
    .slice(1);
  expect(drawn.length).toBeGreaterThan(1);
  for (const line of tables.join('\n').split('\n')) expect(line.length).toBeLessThanOrEqual(width);
  for (const { name } of hosts) expect(tables.join('\n').match(new RegExp(`on ${name}(?!\\d)`, 'g'))).toHaveLength(1);
});
