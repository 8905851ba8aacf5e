// Neutron's view of whether a host's Felix is alive, and what follows from it.
import { expect, test } from 'vitest';
import type { Port } from '../openstack.ts';
import { labOfThisFile } from './world.ts';

// Felix sends a heartbeat each second instead of each half minute, as an operator may configure it, so that a death is noticed soon. A machine that stalls for some seconds must not count as dead.
const world = labOfThisFile('agents', { hosts: 2, reporting: { intervalSeconds: 1, ttlSeconds: 10, agentDownSeconds: 12 } });

/** The Felixes' states in `openstack network agent list`, by host. */
async function aliveInList(): Promise<Record<string, string>> {
  const printed = await world.lab.openstack.cli('network', 'agent', 'list', '-f', 'value', '-c', 'Host', '-c', 'Alive', '-c', 'Binary');
  return Object.fromEntries(
    printed
      .trim()
      .split('\n')
      .map((line) => line.split(' ') as [string, string, string])
      .filter(([, , binary]) => binary === 'calico-felix')
      .map(([host, alive]) => [host, alive]),
  );
}

const becomes = (host: string, alive: 'True' | 'False'): Promise<true> =>
  world.lab.processes.until(`${host} alive: ${alive}`, async () => ((await aliveInList())[host] === alive ? true : undefined), { intervalMs: 500 });

const portOn = (host: string): Promise<Port> =>
  world.lab.openstack.create('port', {
    name: `on-${host}`,
    network_id: world.network.id,
    device_owner: 'compute:nova',
    device_id: '0b5d7e1c-0000-4000-8000-000000000001',
    'binding:host_id': host,
  });

test('a killed Felix is shown as dead, and no port is bound to its host; restarted, it is alive, and ports are bound there', async () => {
  const [one, two] = world.lab.hosts as [(typeof world.lab.hosts)[number], (typeof world.lab.hosts)[number]];
  expect(await aliveInList()).toEqual({ [one.name]: 'True', [two.name]: 'True' });
  two.felix?.kill('SIGKILL');
  await becomes(two.name, 'False');
  expect(await aliveInList()).toEqual({ [one.name]: 'True', [two.name]: 'False' });
  expect(await portOn(two.name)).toMatchObject({ 'binding:vif_type': 'binding_failed' });
  expect(await portOn(one.name)).toMatchObject({ 'binding:vif_type': 'tap' });
  await two.felix?.start();
  await becomes(two.name, 'True');
  expect(await portOn(two.name)).toMatchObject({ 'binding:vif_type': 'tap' });
});

test('a stopped Felix is shown as dead, too', async () => {
  const [one, two] = world.lab.hosts.map(({ name }) => name) as [string, string];
  await world.lab.hosts[0]?.felix?.stop();
  await becomes(one, 'False');
  expect(await aliveInList()).toEqual({ [one]: 'False', [two]: 'True' });
  await world.lab.hosts[0]?.felix?.start();
  await becomes(one, 'True');
});
