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

/** Waits until the list has these states and no others. */
const become = (states: Record<string, 'True' | 'False'>): Promise<boolean> =>
  world.lab.processes.until(
    `alive: ${JSON.stringify(states)}`,
    async () => {
      expect(await aliveInList()).toEqual(states);
      return true;
    },
    { intervalMs: 500 },
  );

const portOn = (host: string): Promise<Port> =>
  world.lab.openstack.create('port', {
    name: `on-${host}`,
    network_id: world.network.id,
    device_owner: 'compute:nova',
    device_id: '0b5d7e1c-0000-4000-8000-000000000001',
    'binding:host_id': host,
  });

/** Waits until a port is bound on the host. A living Felix counts as dead for a moment when the machine stalls for seconds. */
const isBoundOn = (host: string): Promise<boolean> =>
  world.lab.processes.until(`a port that is bound on ${host}`, async () => {
    expect(await portOn(host)).toMatchObject({ 'binding:vif_type': 'tap' });
    return true;
  });

test('a killed Felix is shown as dead, and no port is bound to its host; restarted, it is alive, and ports are bound there', async () => {
  const [one, two] = world.lab.hosts as [(typeof world.lab.hosts)[number], (typeof world.lab.hosts)[number]];
  await become({ [one.name]: 'True', [two.name]: 'True' });
  two.felix?.kill('SIGKILL');
  await become({ [one.name]: 'True', [two.name]: 'False' });
  expect(await portOn(two.name)).toMatchObject({ 'binding:vif_type': 'binding_failed' });
  await isBoundOn(one.name);
  await two.felix?.start();
  await become({ [one.name]: 'True', [two.name]: 'True' });
  await isBoundOn(two.name);
});

test('a stopped Felix is shown as dead, too', async () => {
  const [one, two] = world.lab.hosts.map(({ name }) => name) as [string, string];
  await world.lab.hosts[0]?.felix?.stop();
  await become({ [one]: 'False', [two]: 'True' });
  await world.lab.hosts[0]?.felix?.start();
  await become({ [one]: 'True', [two]: 'True' });
});
