// Tests that guests notice nothing of what other programs, operators and tenants do to the agent's files, links and processes on a host.
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { processFacts } from '@calico-openstack/kernel/processes/processes';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { leaseOnce } from './testing/clients.ts';
import { keyOfSubnet, port } from './testing/etcd-values.ts';
import { subnet } from './testing/facts.ts';
import { openWorld, type World } from './testing/world.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
  await world.startAgent();
});
afterAll(() => world.close());
beforeEach(() => world.putSubnets());
afterEach(() => world.clear());

const onLink = (link: string): string[] => [...world.host('ip', '-4', 'addr', 'show', 'dev', link).matchAll(/inet (\S+)\//g)].map(([, address]) => address!);
const putRaw = (value: object): Promise<unknown> => world.etcd.etcdctl('put', keyOfSubnet('a4'), JSON.stringify(value));

// No Felix runs here that would restore routes, so a route that is lost even for a moment stays lost.
test('whatever becomes of a port’s DHCP, the kernel keeps the routes to it', async () => {
  const [one, other] = [port(1), port(2)];
  await world.guestOf(one);
  await world.guestOf(other);
  const step = async (what: string, change: () => Promise<unknown>, gateways: readonly string[]): Promise<void> => {
    await change();
    await world.until(`${what}: the tap carries ${gateways}`, () => onLink(one.tap).join() === gateways.join());
    const routes = world.host('ip', 'route', 'show', 'dev', one.tap) + world.host('ip', '-6', 'route', 'show', 'dev', one.tap);
    for (const address of one.addresses) expect(routes, what).toContain(address);
  };
  const gateway = (gatewayIp?: string) => world.putSubnet('a4', subnet('10.65.0.0/24', gatewayIp === undefined ? {} : { gatewayIp }));
  await step('served', () => Promise.resolve(), ['10.65.0.1']);
  await step('another gateway', () => gateway('10.65.0.2'), ['10.65.0.2']);
  await step('no gateway', () => gateway(), ['10.65.0.0']);
  await step('a gateway that can be nobody’s', () => gateway('127.0.0.1'), ['10.65.0.0']);
  await step('DHCP off', () => world.deleteSubnet('a4'), ['240.0.0.67']);
  await step('DHCP on', () => gateway('10.65.0.1'), ['10.65.0.1']);
  await step('the port gone before its tap', () => world.deletePort(one), ['240.0.0.67']);
  await step('the port back', () => world.putPort(one), ['10.65.0.1']);
  const pair = { ...other, addresses: [...other.addresses, '10.65.0.1'], allowedIps: ['10.65.0.1'] };
  await step('a neighbour takes the gateway as an address pair', () => world.putPort(pair), ['10.65.0.1']);
});

test('one entry of a subnet that cannot be read keeps nobody from its lease, and the log names it', async () => {
  await putRaw({ network_id: 'net-a', cidr: '10.65.0.0/24', gateway_ip: '10.65.0.1', host_routes: [{}], dns_servers: ['junk', '10.1.1.9'] });
  const lease = await leaseOnce(await world.guestOf(port(1)));
  expect(lease).toMatchObject({ ip: '10.65.0.11', router: '10.65.0.1', dns: '10.1.1.9' });
  await world.until('the log names it', () => world.logged('dns_servers holds \\"junk\\"'));
});

test('a gateway of the other family is none', async () => {
  await putRaw({ network_id: 'net-a', cidr: '10.65.0.0/24', gateway_ip: '2001:db8::1', host_routes: [] });
  const lease = await leaseOnce(await world.guestOf(port(1)));
  expect(lease['ip']).toBe('10.65.0.11');
  expect(lease['router']).toBeUndefined();
});

test('a port whose own address is also an allowed address pair of it gets it', async () => {
  const one = port(1, { addresses: ['10.65.0.11', '10.65.0.11'], allowedIps: ['10.65.0.11'] });
  expect((await leaseOnce(await world.guestOf(one)))['ip']).toBe('10.65.0.11');
});

test('a tap that is renamed loses what the agent put on it, and an operator’s address without a prefix route stays', async () => {
  await world.guestOf(port(1));
  const { tap } = port(1);
  await world.until('it is served', () => onLink(tap).includes('10.65.0.1'));
  world.host('ip', 'addr', 'add', '192.0.2.9/32', 'dev', tap, 'noprefixroute');
  await world.deletePort(port(1));
  await world.until('only the operator’s is left', () => onLink(tap).join() === '192.0.2.9');
  await world.putPort(port(1));
  await world.until('it is served again', () => onLink(tap).includes('10.65.0.1'));
  world.host('ip', 'link', 'set', tap, 'down');
  world.host('ip', 'link', 'set', tap, 'name', 'spare0');
  await world.until('only the operator’s is left', () => onLink('spare0').join() === '192.0.2.9');
  world.host('ip', 'link', 'del', 'spare0');
});

test('a Dnsmasq that somebody stops goes on', async () => {
  const guest = await world.guestOf(port(1));
  await leaseOnce(guest);
  const pid = world.dnsmasqPid();
  process.kill(pid, 'SIGSTOP');
  const isContinued = (): boolean => world.logged('Dnsmasq was stopped by a signal');
  await world.until('it is stopped, or the agent has continued it already', () => processFacts(pid)?.stopped === true || isContinued());
  expect((await leaseOnce(guest))['ip']).toBe('10.65.0.11');
  expect(world.dnsmasqPid()).toBe(pid);
  await world.until('that is logged', isContinued);
});

test.each([{ agent: 'runs' }, { agent: 'does not run' }])(
  'directories that somebody deletes while the agent $agent are made again, and new ports are served',
  async ({ agent }) => {
    const guest = await world.guestOf(port(1));
    await leaseOnce(guest);
    const directory = join(world.directory, 'state/dhcp');
    const former = world.dnsmasqPid();
    if (agent !== 'runs') await world.killAgent();
    // While the agent runs it makes them again, maybe before the last file is deleted.
    for (const name of readdirSync(directory)) rmSync(join(directory, name), { recursive: true, force: true, maxRetries: 10 });
    if (agent !== 'runs') await world.startAgent();
    const later = await world.guestOf(port(2));
    await world.until('another Dnsmasq runs', () => world.runs(former));
    expect((await leaseOnce(later))['ip']).toBe('10.65.0.12');
    expect((await leaseOnce(guest))['ip']).toBe('10.65.0.11');
    await world.untilHolds(() => expect(world.dnsmasqsRunning()).not.toContain(former));
  },
);
