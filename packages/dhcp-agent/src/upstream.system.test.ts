// Tests the change from upstream's DHCP agent to this one, and back with --remove. Upstream's Dnsmasqs are started with upstream's command line and files.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type LeaseHolder, udhcpc } from './testing/clients.ts';
import type { TestPort } from './testing/etcd-values.ts';
import { type Guest, openWorld, type World } from './testing/world.ts';

const network = '99999999-1111-4222-8333-444444444444';
const link = 'ns-99999999-11';

let world: World;
const holders: LeaseHolder[] = [];
const children: ChildProcess[] = [];
beforeEach(async () => {
  world = await openWorld();
  await world.putSubnets();
});
afterEach(async () => {
  for (const holder of holders.splice(0)) holder.stop();
  await world.close();
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

const port = (number: number): TestPort => ({
  id: `port-${number}`,
  tap: `tap0000000${number}-aa`,
  mac: `fa:16:3e:00:00:0${number}`,
  networkId: 'net-a',
  addresses: [`10.65.0.1${number}`, `2001:db8:a::1${number}`],
});

function client(guest: Guest): LeaseHolder {
  const started = udhcpc(guest);
  holders.push(started);
  return started;
}

/** Resolves when the gateway is on the tap, to which clients send their renewals. */
const hasGateway = ({ tap }: TestPort): Promise<void> =>
  world.until('the gateway is on the tap', () => world.host('ip', '-br', 'address', 'show', tap).includes(' 10.65.0.1/'));

const stateOf = (): string => join(world.directory, 'state', 'dhcp');

/** Starts one network's Dnsmasq with its link as upstream's agent does. @param files the directory of its files */
async function upstreams(ports: readonly TestPort[], files = join(stateOf(), network)): Promise<ChildProcess> {
  mkdirSync(files, { recursive: true });
  execFileSync('chmod', ['-R', '755', world.directory]);
  writeFileSync(join(files, 'interface'), link);
  writeFileSync(join(files, 'host'), ports.map(({ mac, addresses, id }) => `${mac},${id}.openstacklocal,${addresses[0]}\n`).join(''));
  writeFileSync(join(files, 'opts'), 'tag:subnet-a4,option:dns-server,10.9.9.9\ntag:subnet-a4,option:router,10.65.0.1\n');
  writeFileSync(join(files, 'addn_hosts'), '');
  if (!world.host('ip', '-br', 'link').includes(link)) {
    world.host('ip', 'link', 'add', link, 'type', 'ifb'); // upstream uses a dummy link, which not every kernel supports
    world.host('ip', 'link', 'set', link, 'up');
    world.host('ip', 'address', 'add', '10.65.0.1/24', 'dev', link, 'noprefixroute');
  }
  const words = [
    ...['--keep-in-foreground', '--no-hosts', '--no-resolv', '--except-interface=lo', '--port=0', `--pid-file=${files}/pid`],
    ...[`--dhcp-hostsfile=${files}/host`, `--addn-hosts=${files}/addn_hosts`, `--dhcp-optsfile=${files}/opts`, `--dhcp-leasefile=${files}/leases`],
    ...[
      '--dhcp-match=set:ipxe,175',
      '--bind-dynamic',
      `--interface=${link}`,
      '--dhcp-range=set:subnet-a4,10.65.0.0,static,255.255.255.0,86400s',
      '--conf-file=',
    ],
    ...ports.map(({ tap }) => `--interface=${tap}`),
    `--bridge-interface=${[link, ...ports.map(({ tap }) => tap)].join(',')}`,
  ];
  const child = spawn('ip', ['netns', 'exec', world.namespace, 'dnsmasq', ...words], { stdio: 'ignore' });
  children.push(child);
  await world.until('upstream’s Dnsmasq serves', () => existsSync(join(files, 'pid')) && readFileSync(join(files, 'pid'), 'utf8').trim() === String(child.pid));
  return child;
}

test('its Dnsmasqs serve until ours do, then they and their links go; guests renew with ours, and new ones get their addresses', async () => {
  const [one, two] = [port(1), port(2)];
  const guest = await world.guestOf(one);
  await upstreams([one]);
  const running = client(guest);
  expect(await running.next()).toMatchObject({ ip: one.addresses[0], dns: '10.9.9.9' });
  await world.startAgent();
  await world.until('upstream’s are ended', () => world.logged('Dnsmasqs that another DHCP agent had left are ended'));
  await world.untilHolds(() => expect(world.dnsmasqsRunning()).toHaveLength(1));
  await world.untilHolds(() => expect(world.host('ip', '-br', 'link')).not.toContain(link));
  await hasGateway(one);
  running.renew();
  expect(await running.next()).toMatchObject({ ip: one.addresses[0], dns: '10.1.1.1 10.1.1.2' });
  expect(await client(await world.guestOf(two)).next()).toMatchObject({ event: 'bound', ip: two.addresses[0], dns: '10.1.1.1 10.1.1.2' });
});

test('while etcd is away they go on', async () => {
  const one = port(1);
  await world.startAgent(); // the agent's own Dnsmasqs run from now on
  await world.killAgent();
  await world.etcd.kill();
  const child = await upstreams([one]);
  await world.startAgent('', { etcdIsAway: true });
  await world.until('it knows that etcd is away', () => world.logged('etcd does not answer'));
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(child.exitCode ?? child.signalCode).toBeNull();
  expect(world.host('ip', '-br', 'link')).toContain(link);
});

test('what only looks alike is left: a process under a number of an old file, a Dnsmasq with files elsewhere, a link that leads somewhere', async () => {
  const innocent = spawn('ip', ['netns', 'exec', world.namespace, 'sleep', '1000'], { stdio: 'ignore' });
  children.push(innocent);
  const files = join(stateOf(), network);
  mkdirSync(files, { recursive: true });
  writeFileSync(join(files, 'pid'), `${innocent.pid}\n`);
  world.host('ip', 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'other');
  const elsewhere = await upstreams([port(1)], join(world.directory, 'elsewhere', network));
  await world.startAgent();
  await world.until('the stranger is named', () => world.logged('with its files elsewhere'));
  await world.until('its process is named', () => world.logged(`process=${elsewhere.pid}`));
  for (const child of [innocent, elsewhere]) expect(child.exitCode ?? child.signalCode).toBeNull();
  expect(world.host('ip', '-br', 'link')).toContain(link);
});

test('--remove takes away what the agent has put there, when it is stopped, and guests keep their leases', async () => {
  const one = port(1);
  const guest = await world.guestOf(one);
  await world.startAgent();
  const holder = client(guest);
  expect(await holder.next()).toMatchObject({ event: 'bound' });
  expect(() => remove()).toThrow('calico-dhcp-agent runs on this host');
  expect(world.dnsmasqsRunning()).toHaveLength(1);
  await world.killAgent();
  const told = remove();
  for (const line of [
    /removed: Dnsmasq \(process \d+\)/,
    /removed: gateways' addresses on 1 taps/,
    /removed: table inet calico-dhcp-agent/,
    /left: guests' leases/,
  ])
    expect(told).toMatch(line);
  expect(world.dnsmasqsRunning()).toEqual([]);
  expect(world.host('ip', '-br', 'address', 'show', one.tap)).not.toContain('10.65.0.1');
  expect(world.host('nft', 'list', 'tables')).toBe('');
  expect(['dnsmasq-4', 'ipv6'].filter((name) => existsSync(join(stateOf(), name)))).toEqual([]);
  expect(guest.run('ip', 'address', 'show', 'eth0')).toContain(one.addresses[0]);
  await world.startAgent(); // this agent can be started again after that
  await hasGateway(one);
  holder.renew();
  expect(await holder.next()).toMatchObject({ ip: one.addresses[0] });
});

const remove = (): string =>
  world.host(process.execPath, join(import.meta.dirname, 'bin/calico-dhcp-agent.ts'), '--config-file', join(world.directory, 'neutron.conf'), '--remove');
