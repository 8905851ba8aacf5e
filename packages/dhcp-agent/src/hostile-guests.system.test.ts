// Tests on a real host that guests which forge, decline and flood DHCP messages do not affect their neighbours.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { macBytes } from '@calico-openstack/addresses';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { TestPort } from './testing/etcd-values.ts';
import { type RawGuest, rawGuest } from './testing/raw-dhcp.ts';
import { openWorld, type World } from './testing/world.ts';

let world: World;
let guests: RawGuest[] = [];
let standingLog: ReturnType<typeof spawn>;
beforeAll(async () => {
  world = await openWorld();
  // Nothing reads this syslog socket. The kernel queues ten lines, and a program that writes the eleventh waits.
  const socket = join(world.directory, 'syslog');
  standingLog = spawn('python3', [
    '-c',
    `import os,socket,time; os.umask(0); s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); s.bind("${socket}"); time.sleep(900)`,
  ]);
  await world.until('the syslog is there', () => existsSync(socket));
  await world.startAgent('dnsmasq_base_log_dir =', { syslog: socket });
  await world.until('Dnsmasq runs', () => world.runs());
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
  await world.served(port);
  const raw = rawGuest(guest, port.mac);
  guests.push(raw);
  return { ...raw, port, v4: port.addresses[0]!, v6: port.addresses[1]! };
}

test('a syslog that stands still makes nobody wait, whatever log lines a guest causes', async () => {
  const [loud, neighbour] = [await newGuest(), await newGuest()];
  // These are more lines than the kernel and Dnsmasq queue, because Dnsmasq logs a refusal even with --quiet-dhcp.
  for (let round = 0; round < 200; round++) expect((await loud.ask4({ kind: 'request', requested: '10.65.0.250' }))?.kind).toBe('nak');
  for (let round = 0; round < 20; round++) expect(await neighbour.ask4({ kind: 'discover' })).toMatchObject({ kind: 'offer', address: neighbour.v4 });
});

describe('DHCPv6: a guest’s message about its neighbour’s address grants it to nobody, and the neighbour keeps it', () => {
  test.each([
    { leased: true, as: 'itself' },
    { leased: true, as: 'the neighbour' },
    { leased: false, as: 'itself' },
    { leased: false, as: 'the neighbour' },
  ])('leased: $leased, by a guest that says it is $as', async ({ leased, as }) => {
    const [neighbour, guest] = [await newGuest(), await newGuest()];
    if (leased) expect((await neighbour.lease6())?.addresses).toEqual({ [neighbour.v6]: 86_400 });
    const server = (await guest.lease6())!.server;
    const said = { duid: as === 'itself' ? guest.duid : neighbour.duid, addresses: [neighbour.v6] };
    expect((await guest.ask6({ ...said, type: 'rebind' }))?.addresses).toEqual({ [guest.v6]: 86_400, [neighbour.v6]: 0 });
    for (const type of ['decline', 'release', 'rebind'] as const) await guest.ask6({ ...said, type, ...(type !== 'rebind' && { server }) });
    const request = await guest.ask6({ ...said, type: 'request', server });
    expect(request?.addresses).toEqual({ [guest.v6]: 86_400, [neighbour.v6]: 0 });
    expect((await neighbour.lease6())?.addresses).toEqual({ [neighbour.v6]: 86_400 });
    expect((await neighbour.ask6({ type: 'renew', addresses: [neighbour.v6], server }))?.addresses).toEqual({ [neighbour.v6]: 86_400 });
    expect((await neighbour.ask6({ type: 'rebind', addresses: [neighbour.v6] }))?.addresses).toEqual({ [neighbour.v6]: 86_400 });
  });
});

test('DHCPv4: a guest’s message in its neighbour’s name takes nothing from the neighbour', async () => {
  const [neighbour, guest] = [await newGuest(), await newGuest()];
  const server = '10.65.0.1';
  expect(await neighbour.ask4({ kind: 'request', requested: neighbour.v4 })).toMatchObject({ kind: 'ack', address: neighbour.v4 });
  const forged = { chaddr: neighbour.mac, clientId: [1, ...macBytes(neighbour.mac)], server };
  for (const kind of ['release', 'decline'] as const) {
    expect(await guest.unanswered4({ ...forged, kind, ciaddr: kind === 'release' ? neighbour.v4 : '0.0.0.0', requested: neighbour.v4 })).toBeUndefined();
    expect(await guest.unanswered4({ kind, server, requested: neighbour.v4 })).toBeUndefined();
  }
  expect(await guest.unanswered4({ ...forged, kind: 'request', requested: neighbour.v4 })).toBeUndefined();
  expect((await guest.ask4({ kind: 'request', requested: neighbour.v4 }))?.kind).toBe('nak');
  expect(await guest.unanswered4({ kind: 'discover', giaddr: neighbour.v4 })).toBeUndefined();
  expect(await neighbour.ask4({ kind: 'request', ciaddr: neighbour.v4 })).toMatchObject({ kind: 'ack', address: neighbour.v4 });
  expect(await neighbour.ask4({ kind: 'discover' })).toMatchObject({ kind: 'offer', address: neighbour.v4 });
});

test('a guest that declines its own address is offered it again at once, by DHCPv4 and DHCPv6', async () => {
  const guest = await newGuest();
  const { server } = (await guest.lease6())!;
  expect(await guest.ask6({ type: 'decline', addresses: [guest.v6], server })).toMatchObject({ type: 7, statuses: [0], server, client: guest.duid });
  expect((await guest.lease6())?.addresses).toEqual({ [guest.v6]: 86_400 });
  await guest.ask4({ kind: 'request', requested: guest.v4 });
  expect(await guest.unanswered4({ kind: 'decline', requested: guest.v4, server: '10.65.0.1' })).toBeUndefined();
  expect(await guest.ask4({ kind: 'discover' })).toMatchObject({ kind: 'offer', address: guest.v4 });
  await world.until('that is logged', () => world.logged('the guest declines its IPv6 address'));
});

test('a REBIND is answered with the port’s addresses, DNS servers and the server that RENEW knows, until the port has other addresses', async () => {
  const guest = await newGuest();
  const { server } = (await guest.lease6())!;
  expect(await guest.ask6({ type: 'rebind', addresses: [guest.v6, '2001:db8:a::ffff'] })).toMatchObject({
    type: 7,
    server,
    client: guest.duid,
    addresses: { [guest.v6]: 86_400, '2001:db8:a::ffff': 0 },
    statuses: [],
    dnsServers: ['2001:db8::53'],
  });
  await world.putPort({ ...guest.port, addresses: ['2001:db8:a::abcd'] });
  await world.until('the port has another address', () => world.logged('port served in another way'));
  expect((await guest.ask6({ type: 'rebind', addresses: [guest.v6] }))?.addresses).toEqual({ [guest.v6]: 0, '2001:db8:a::abcd': 86_400 });
  await world.deletePort(guest.port);
  await world.until('the port is gone', () => world.logged('port no longer served'));
  expect(await guest.ask6({ type: 'rebind', addresses: [guest.v6] }, 200)).toBeUndefined();
});

test('while the agent is not running DHCPv6 is answered by nobody, and the next agent answers at once; a flushed ruleset is reinstalled at once', async () => {
  const [neighbour, guest] = [await newGuest(), await newGuest()];
  const { server } = (await guest.lease6())!;
  world.host('nft', 'flush', 'ruleset');
  await world.until('the table is back', () => world.host('nft', 'list', 'tables').includes('calico-dhcp-agent'));
  await world.killAgent();
  expect(await guest.ask6({ type: 'rebind', addresses: [neighbour.v6] }, 300)).toBeUndefined();
  await world.startAgent('dnsmasq_base_log_dir =', { syslog: join(world.directory, 'syslog') });
  expect((await guest.ask6({ type: 'renew', addresses: [guest.v6], server }))?.addresses).toEqual({ [guest.v6]: 86_400 });
  expect((await neighbour.ask6({ type: 'rebind', addresses: [neighbour.v6] }))?.addresses).toEqual({ [neighbour.v6]: 86_400 });
});

test('a guest that rebinds without end is answered now and then, and its neighbour whenever it asks', async () => {
  const [neighbour, guest] = [await newGuest(), await newGuest()];
  await neighbour.lease6();
  for (let round = 0; round < 10; round++) {
    for (let message = 0; message < 20; message++) guest.tell6({ type: 'rebind', addresses: [guest.v6] });
    expect((await neighbour.ask6({ type: round % 2 === 0 ? 'rebind' : 'solicit', addresses: [neighbour.v6] }))?.addresses).toEqual({
      [neighbour.v6]: 86_400,
    });
  }
});

test('while a guest floods the host with REBINDs, or DECLINEs, each REBIND and DECLINE of its neighbour is answered; so is its own afterwards', async () => {
  const [neighbour, guest] = [await newGuest(), await newGuest()];
  const { server } = (await neighbour.lease6())!;
  const heard = (): number => Number(world.host('cat', `/sys/class/net/${guest.port.tap}/statistics/rx_packets`));
  for (const type of ['rebind', 'decline'] as const) {
    const flood = guest.flood6({ type, addresses: [guest.v6], ...(type === 'decline' && { server }) });
    try {
      for (let question = 0; question < 3; question++) {
        const before = heard();
        await world.until('the flood goes on', () => heard() > before + 20_000);
        expect((await neighbour.ask6({ type: 'rebind', addresses: [neighbour.v6] }))?.addresses).toEqual({ [neighbour.v6]: 86_400 });
      }
      expect((await neighbour.ask6({ type: 'decline', addresses: [neighbour.v6], server }))?.statuses).toEqual([0]);
    } finally {
      flood.stop();
    }
  }
  let own: unknown;
  for (let question = 0; question < 30 && own === undefined; question++) own = (await guest.ask6({ type: 'rebind', addresses: [guest.v6] }, 1000))?.addresses;
  expect(own).toEqual({ [guest.v6]: 86_400 });
});

test('a guest that was installed anew, with another identifier or association, gets its address at once, and takes nobody else’s', async () => {
  const [neighbour, guest] = [await newGuest(), await newGuest()];
  const { server } = (await neighbour.lease6())!;
  expect((await guest.lease6())?.addresses).toEqual({ [guest.v6]: 86_400 });
  for (const some of [{ duid: [0, 4, 1, 2, 3] }, { duid: [0, 4, 1, 2, 3], iaid: 7 }, { duid: neighbour.duid }])
    expect((await guest.lease6(some))?.addresses).toEqual({ [guest.v6]: 86_400 });
  expect((await neighbour.ask6({ type: 'renew', addresses: [neighbour.v6], server }))?.addresses).toEqual({ [neighbour.v6]: 86_400 });
});
