import { execFileSync } from 'node:child_process';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openLinks } from '../links/netlink.ts';
import { inNamespace } from '../netlink/namespace.ts';
import { openRoutes } from '../routes/netlink.ts';
import type { HostAddresses } from './host-address.ts';
import { openHostAddresses } from './netlink.ts';
import { hostAddressesContract } from './testing/contract.ts';

let worlds = 0;

/** A namespace of its own for each. */
function openWorld() {
  const namespace = `hostaddr-${process.pid}-${worlds++}`;
  execFileSync('ip', ['netns', 'add', namespace]);
  const { links, routes } = inNamespace(namespace, () => ({ links: openLinks(), routes: openRoutes() }));
  return {
    namespace,
    links,
    routes,
    open: () => inNamespace(namespace, () => openHostAddresses(links)),
    close() {
      routes.close();
      links.close();
      execFileSync('ip', ['netns', 'del', namespace]);
    },
  };
}

hostAddressesContract(openWorld);

let world: ReturnType<typeof openWorld>;
let host: HostAddresses;
const ip = (...args: readonly string[]): string => execFileSync('ip', ['-n', world.namespace, ...args], { encoding: 'utf8' });

beforeEach(() => {
  world = openWorld();
  for (const name of ['up0', 'up1']) ip('link', 'add', name, 'up', 'type', 'ifb');
  ip('address', 'add', '192.0.2.5/24', 'dev', 'up0');
  ip('address', 'add', '198.51.100.5/24', 'dev', 'up1');
  ip('-6', 'address', 'add', '2001:db8::5/64', 'dev', 'up0', 'nodad');
  world.links.refresh();
  host = world.open();
});
afterEach(() => {
  host.close();
  world.close();
});

async function until(wanted: () => boolean): Promise<void> {
  if (wanted()) return;
  await new Promise<void>((resolve) => {
    const subscription = host.watch(() => {
      if (!wanted()) return;
      subscription.close();
      resolve();
    });
  });
}

const hops = (): string[] =>
  host
    .read()
    .filter(({ is }) => is === 'next-hop')
    .map(({ prefix, device }) => `${prefix} ${device}`)
    .sort();

test('all next hops of a route with several are told, each with its link', async () => {
  ip('route', 'add', '203.0.113.0/24', 'nexthop', 'via', '192.0.2.1', 'dev', 'up0', 'nexthop', 'via', '198.51.100.1', 'dev', 'up1');
  await until(() => hops().length === 2);
  expect(hops()).toEqual(['192.0.2.1/32 up0', '198.51.100.1/32 up1']);
  ip('route', 'del', '203.0.113.0/24');
  await until(() => hops().length === 0);
});

test('all next hops of an IPv6 route with several are told', async () => {
  ip('-6', 'route', 'add', '2001:db8:1::/48', 'nexthop', 'via', '2001:db8::1', 'dev', 'up0', 'nexthop', 'via', '2001:db8::2', 'dev', 'up0');
  await until(() => hops().length === 2);
  expect(hops()).toEqual(['2001:db8::1/128 up0', '2001:db8::2/128 up0']);
  ip('-6', 'route', 'del', '2001:db8:1::/48', 'via', '2001:db8::1', 'dev', 'up0');
  await until(() => hops().length === 1);
  expect(hops()).toEqual(['2001:db8::2/128 up0']);
});

test('the IPv6 next hop of an IPv4 route, and next hops of other tables, are told', async () => {
  ip('route', 'add', '203.0.113.0/24', 'via', 'inet6', '2001:db8::9', 'dev', 'up0');
  ip('route', 'add', 'default', 'via', '192.0.2.254', 'table', '4711');
  await until(() => hops().length === 2);
  expect(hops()).toEqual(['192.0.2.254/32 up0', '2001:db8::9/128 up0']);
});

test('next hops by nexthop objects are told', async () => {
  ip('nexthop', 'add', 'id', '7', 'via', '192.0.2.77', 'dev', 'up0');
  ip('route', 'add', '203.0.113.0/24', 'nhid', '7');
  await until(() => hops().length === 1);
  expect(hops()).toEqual(['192.0.2.77/32 up0']);
});

test('an IPv4 next hop goes with the last address of its link, of which the kernel tells no route', async () => {
  ip('route', 'add', 'default', 'via', '192.0.2.1');
  await until(() => hops().length === 1);
  ip('address', 'del', '192.0.2.5/24', 'dev', 'up0');
  await until(() => hops().length === 0);
});

test('what the kernel delivers to itself is its own: broadcast addresses and added prefixes too, and a proxy’s table for everything is not', async () => {
  ip('route', 'add', 'local', '203.0.113.64/26', 'dev', 'lo', 'table', 'local');
  ip('route', 'add', 'local', '0.0.0.0/0', 'dev', 'lo', 'table', '100');
  const own = (prefix: string): boolean => host.read().some((one) => one.is === 'own' && one.prefix === prefix);
  await until(() => own('203.0.113.64/26'));
  expect(own('192.0.2.255/32')).toBe(true);
  expect(own('0.0.0.0/0')).toBe(false);
});

test('the routers’ anycast address of a prefix is nobody’s own on a host that forwards, unless a link has it', async () => {
  execFileSync('ip', ['netns', 'exec', world.namespace, 'sysctl', '-qw', 'net.ipv6.conf.all.forwarding=1']);
  expect(ip('-6', 'route', 'show', 'table', 'local')).toContain('anycast 2001:db8:: dev up0'); // the kernel takes it, and says what it is
  const own = (prefix: string): boolean => host.read().some((one) => one.is === 'own' && one.prefix === prefix);
  ip('-6', 'address', 'add', '2001:db8:7::/127', 'dev', 'up1', 'nodad');
  await until(() => own('2001:db8:7::/128'));
  expect([own('2001:db8::5/128'), own('2001:db8::/128')]).toEqual([true, false]);
});
