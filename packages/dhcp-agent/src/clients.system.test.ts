// Tests every exchange of DHCPv4 with two independent clients, busybox's udhcpc and ISC's dhclient, and with messages byte by byte where clients take long or have no way.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { dhclient4, type LeaseHolder, leaseOnce, udhcpc } from './testing/clients.ts';
import { port } from './testing/etcd-values.ts';
import { subnet } from './testing/facts.ts';
import { holdsOnce } from './testing/holder.ts';
import { type RawGuest, rawGuest } from './testing/raw-dhcp.ts';
import { openWorld, type World } from './testing/world.ts';

const [own, neighbours, server] = ['10.65.0.11', '10.65.0.12', '10.65.0.1'] as const;
let world: World;
const clients: LeaseHolder[] = [];
const raws: RawGuest[] = [];
beforeAll(async () => {
  world = await openWorld();
  await world.startAgent();
});
afterAll(() => world.close());
beforeEach(() => world.putSubnets());
afterEach(async () => {
  for (const client of clients.splice(0)) client.stop();
  for (const raw of raws.splice(0)) raw.close();
  await world.clear();
});

/** A guest and its neighbour. */
async function guests() {
  const [guest, neighbour] = [await world.guestOf(port(1)), await world.guestOf(port(2))];
  return { guest, neighbour };
}
const plainGuest = async () => (await guests()).guest;

describe('udhcpc', () => {
  const holder = (...[guest, options]: Parameters<typeof udhcpc>): LeaseHolder => {
    const client = udhcpc(guest, options);
    clients.push(client);
    return client;
  };

  test('gets a lease, renews it, gives it back, and gets it again', async () => {
    const client = holder(await plainGuest());
    expect(await client.next()).toMatchObject({ event: 'bound', ip: own, serverid: server, lease: '86400' });
    client.renew();
    expect(await client.next()).toMatchObject({ event: 'renew', ip: own });
    await client.release();
    client.renew();
    expect(await client.next()).toMatchObject({ event: 'bound', ip: own });
  });

  test('that asks for its neighbour’s address gets its own', async () => {
    const { guest, neighbour } = await guests();
    expect(await leaseOnce(neighbour)).toMatchObject({ ip: neighbours });
    expect(await leaseOnce(guest, { arguments: ['-r', neighbours] })).toMatchObject({ event: 'bound', ip: own });
    expect(await leaseOnce(guest, { arguments: ['-r', '192.0.2.99'] })).toMatchObject({ event: 'bound', ip: own });
  });

  test('that finds its address taken declines it, and has it as soon as it is free', async () => {
    const guest = await plainGuest();
    const somebody = holdsOnce(world, port(1));
    try {
      expect(await holder(guest, { attempts: 60, arguments: ['-a2000'] }).next()).toMatchObject({ event: 'bound', ip: own });
      expect(somebody.answered).toBe(1);
    } finally {
      somebody.close();
    }
  });
});

describe('dhclient', () => {
  test('gets a lease, and with it again after its start (INIT-REBOOT)', async () => {
    const guest = await plainGuest();
    expect(await dhclient4(guest)).toMatchObject({ reason: 'BOUND', new_ip_address: own, new_routers: server, new_dhcp_server_identifier: server });
    expect(await dhclient4(guest, { remembered: { address: own } })).toMatchObject({ reason: 'REBOOT', new_ip_address: own });
  });

  test('that comes back with an address of another network, or its neighbour’s, is refused it and gets its own', async () => {
    const { guest, neighbour } = await guests();
    expect(await leaseOnce(neighbour)).toMatchObject({ ip: neighbours });
    for (const address of ['192.168.7.7', neighbours])
      expect(await dhclient4(guest, { remembered: { address } })).toMatchObject({ reason: 'BOUND', new_ip_address: own });
    expect(await leaseOnce(neighbour)).toMatchObject({ ip: neighbours });
  });

  test('that gives its lease back gets it again', async () => {
    const guest = await plainGuest();
    await dhclient4(guest);
    await dhclient4(guest, { remembered: { address: own }, release: true });
    expect(await dhclient4(guest)).toMatchObject({ reason: 'BOUND', new_ip_address: own });
  });
});

describe('message by message', () => {
  async function raw(): Promise<RawGuest> {
    const guest = await plainGuest();
    guest.run('ip', 'addr', 'add', `${own}/32`, 'dev', 'eth0'); // answers are sent to the address of a client that has one
    const opened = rawGuest(guest, port(1).mac);
    raws.push(opened);
    await world.served(port(1));
    return opened;
  }

  test('a lease is renewed in each state, and refused for any other address', async () => {
    const guest = await raw();
    expect(await guest.ask4({ kind: 'discover' })).toMatchObject({ kind: 'offer', address: own });
    expect(await guest.ask4({ kind: 'request', requested: own, server })).toMatchObject({ kind: 'ack', address: own }); // SELECTING
    expect(await guest.ask4({ kind: 'request', requested: own })).toMatchObject({ kind: 'ack', address: own }); // INIT-REBOOT
    expect(await guest.ask4({ kind: 'request', ciaddr: own })).toMatchObject({ kind: 'ack', address: own }); // REBINDING
    for (const other of [neighbours, '192.0.2.99']) {
      expect(await guest.ask4({ kind: 'request', requested: other })).toMatchObject({ kind: 'nak' });
      expect(await guest.ask4({ kind: 'request', requested: other, server })).toMatchObject({ kind: 'nak' });
      expect((await guest.unanswered4({ kind: 'request', ciaddr: other }))?.kind).not.toBe('ack'); // refused, or left to another server that may have leased it
    }
    expect(await guest.ask4({ kind: 'request', ciaddr: own })).toMatchObject({ kind: 'ack', address: own });
  });

  test('INFORM is answered with the options and without an address', async () => {
    const guest = await raw();
    const answer = await guest.ask4({ kind: 'inform', ciaddr: own, wanted: [1, 3, 6, 15] });
    expect(answer).toMatchObject({ kind: 'ack', address: '0.0.0.0', options: { 1: 'ffffff00', 3: '0a410001', 6: '0a0101010a010102' } });
    expect(Object.keys(answer!.options)).not.toContain('51');
  });

  test.each([20, 40])('a client of 576 bytes that asks for both options of %d routes has all of them, and all else', async (count) => {
    const routes = Object.fromEntries(Array.from({ length: count }, (_, index) => [`10.${100 + index}.0.0/16`, '10.65.0.7']));
    await world.putSubnet('a4', subnet('10.65.0.0/24', { gatewayIp: server, dnsServers: ['10.1.1.1'], routes }));
    const guest = await raw();
    const options = async (longestBytes: number) =>
      (await guest.ask4({ kind: 'discover', wanted: [1, 28, 3, 6, 12, 15, 26, 121, 249], longestBytes }))!.options;
    const [narrow, wide] = [await options(576), await options(1500)];
    const { 249: copy, 121: standard, ...others } = wide;
    expect(standard).toHaveLength(2 * (5 + Math.min(count, 35) * 7)); // an option holds 255 bytes
    expect(copy).toBe(standard);
    expect(narrow).toMatchObject({ ...others, 121: standard });
    await world.untilHolds(() => expect(world.logged('routes of 10.65.0.0/24 are not told to guests')).toBe(count > 35));
  });

  test('a network card that boots is told its server, its file and its vendor’s options, as options (iPXE) or in the header (a ROM)', async () => {
    const boot = {
      'server-ip-address': '10.65.0.66',
      'tftp-server': '10.65.0.66',
      'bootfile-name': 'boot/snp.efi',
      60: 'PXEClient',
      43: '06:01:08',
      175: '08:01:01',
    };
    const extra = Object.entries(boot).map(([name, value]) => ({ name, value, family: 4 as const }));
    const guest = rawGuest(await world.guestOf(port(1, { extra })), port(1).mac);
    raws.push(guest);
    const hex = (text: string): string => Buffer.from(text).toString('hex');
    const card = { 60: [...Buffer.from('PXEClient:Arch:00007:UNDI:003010')], 93: [0, 7], 94: [1, 3, 16], 97: new Array<number>(17).fill(0) };
    const ipxe = { ...card, 77: [...Buffer.from('iPXE')], 175: [0xb1, 5, 1, 0x10, 0x0e, 0x10, 0x0e] };
    const [router, always] = ['0a410001', [1, 3, 6, 12, 15, 43, 60]] as const;
    const byIpxe = await guest.ask4({ kind: 'discover', wanted: [...always, 66, 67, 119, 175, 203], longestBytes: 1472, more: ipxe });
    expect(byIpxe).toMatchObject({
      kind: 'offer',
      address: own,
      bootServer: '10.65.0.66',
      options: { 3: router, 43: '060108', 60: hex('PXEClient'), 175: '080101' },
    });
    expect(byIpxe?.options).toMatchObject({ 66: hex('10.65.0.66\0'), 67: hex('boot/snp.efi\0') }); // there are ROMs that need the final zero
    const byRom = await guest.ask4({ kind: 'discover', wanted: always, longestBytes: 1260, more: card });
    expect(byRom).toMatchObject({ kind: 'offer', address: own, bootServer: '10.65.0.66', bootFile: 'boot/snp.efi', options: { 3: router, 43: '060108' } });
  });
});
