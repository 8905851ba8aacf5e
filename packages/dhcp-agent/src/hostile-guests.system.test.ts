// Guests that forge, decline and shout, on a real host: what their neighbours notice is nothing.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { TestPort } from './testing/etcd-values.ts';
import { type RawGuest, rawGuest } from './testing/raw-dhcp.ts';
import { openWorld, type World } from './testing/world.ts';

let world: World;
let guests: RawGuest[] = [];
let standingLog: ReturnType<typeof spawn>;
beforeAll(async () => {
  world = await openWorld();
  // Nobody reads this syslog: the kernel keeps ten lines, and whoever writes the eleventh waits.
  const socket = join(world.directory, 'syslog');
  standingLog = spawn('python3', [
    '-c',
    `import os,socket,time; os.umask(0); s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); s.bind("${socket}"); time.sleep(900)`,
  ]);
  await world.until('the syslog is there', () => existsSync(socket));
  await world.startAgent('dnsmasq_base_log_dir =', { syslog: socket });
  await world.until('both Dnsmasqs run', () => world.runs(4) && world.runs(6));
});
afterAll(async () => {
  standingLog.kill('SIGKILL');
  await world.close();
});
beforeEach(() => world.putSubnets());
afterEach(async () => {
  for (const guest of guests) guest.close();
  guests = [];
  await world.clear();
});

let lastPort = 0;
async function newGuest(some: Partial<TestPort> = {}): Promise<RawGuest & { readonly port: TestPort; readonly v4: string; readonly v6: string }> {
  lastPort += 1;
  const hex = lastPort.toString(16).padStart(2, '0');
  const port: TestPort = {
    id: `port-${lastPort}`,
    tap: `tap000000${hex}-aa`,
    mac: `fa:16:3e:00:00:${hex}`,
    networkId: 'net-a',
    addresses: [`10.65.0.${lastPort + 10}`, `2001:db8:a::${(lastPort + 16).toString(16)}`],
    ...some,
  };
  await world.putPort(port);
  const guest = world.guest(port.tap, { mac: port.mac, addresses: port.addresses });
  await world.until('the guest has its link-local address', () =>
    guest.run('ip', '-6', 'addr', 'show', 'dev', 'eth0', 'scope', 'link', '-tentative').includes('fe80'),
  );
  await world.until('the port is served', () => world.host('ip', 'addr', 'show', 'dev', port.tap).includes('fdca:'));
  const raw = rawGuest(guest, port.mac);
  guests.push(raw);
  return { ...raw, port, v4: port.addresses[0]!, v6: port.addresses[1]! };
}

test('a syslog that stands still makes nobody wait, whatever a guest does to have lines written', async () => {
  const [loud, neighbour] = [await newGuest(), await newGuest()];
  // More than the kernel and Dnsmasq keep for it: a refusal is logged however quiet Dnsmasq is.
  for (let round = 0; round < 200; round++) expect((await loud.ask4({ kind: 'request', requested: '10.65.0.250' }, 5000))?.kind).toBe('nak');
  for (let round = 0; round < 20; round++) expect(await neighbour.ask4({ kind: 'discover' }, 5000)).toEqual({ kind: 'offer', address: neighbour.v4 });
});
