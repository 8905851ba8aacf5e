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

const scene = (hosts: readonly SceneHost[]): Scene => ({
  prefix: 'lab',
  control: { name: 'control', address: '172.16.0.2', services: [{ name: 'etcd', running: true }] },
  router: { name: 'router', asNumber: 64500, routes: [{ destination: '10.65.0.11', via: 'host-1' }] },
  hosts,
});

const web1 = {
  vms: [{ name: 'web1', tap: 'tap0bbbe8da-69', addresses: ['10.65.0.11'] }],
  routes: [{ destination: '10.65.0.11', via: 'tap0bbbe8da-69' }],
  services: [
    { name: 'bird', running: true },
    { name: 'felix', running: false },
  ],
};

test('the picture shows hosts, VMs, addresses and routes', () => {
  expect(draw(scene([host(1, web1), host(2, { bgp: 'Connect' })]))).toBe(
    `\
+- router -------------+  +- control  172.16.0.2 -+
| AS 64500             |  | runs: etcd            |
| 10.65.0.11 -> host-1 |  +-----------------------+
+----------------------+
   |
+- host-1  172.16.1.2 ---------+  +- host-2  172.16.2.2 --+
| AS 64501, BGP Established    |  | AS 64502, BGP Connect |
| runs: bird                   |  | runs: bird            |
| DOES NOT RUN: felix          |  +-----------------------+
|                              |
| VMs:                         |
| [web1]  tap0bbbe8da-69       |
|     10.65.0.11               |
|                              |
| routes:                      |
| 10.65.0.11 -> tap0bbbe8da-69 |
+------------------------------+`.replace('| AS 64500                |', '| AS 64500                |'),
  );
});

test.each([40, 80, 120])('a picture of many hosts keeps to %i columns, and leaves none out', (width) => {
  const drawn = draw(scene(Array.from({ length: 9 }, (_, index) => host(index + 1))), width);
  const hostLines = drawn.split('\n').slice(5);
  for (const line of hostLines) expect(line.length).toBeLessThanOrEqual(width);
  expect(drawn.match(/host-\d/g)).toHaveLength(9 + 1);
});
