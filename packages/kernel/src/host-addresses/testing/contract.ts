// What every `HostAddresses` promises: the kernel's and the fake's.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { LinkEditor, Links } from '../../links/link.ts';
import type { RouteTable } from '../../routes/netlink.ts';
import { type KernelRoute, routeScope, routeTable } from '../../routes/route.ts';
import type { HostAddress, HostAddresses } from '../host-address.ts';

/** `routes` is another program's. */
export type HostAddressesWorld = { readonly links: Links & LinkEditor; readonly routes: RouteTable; open(): HostAddresses; close(): void };

const families = [
  { family: 4, own: '192.0.2.5', length: 24, router: '192.0.2.1', other: '192.0.2.2', far: '198.51.100.0/24', farther: '203.0.113.0/24', bits: 32 },
  { family: 6, own: '2001:db8::5', length: 64, router: '2001:db8::1', other: '2001:db8::2', far: '2001:db8:1::/48', farther: '2001:db8:2::/48', bits: 128 },
] as const;

export function hostAddressesContract(open: () => HostAddressesWorld): void {
  describe.each(families)('IPv$family addresses of the host', ({ family, own, length, router, other, far, farther, bits }) => {
    let world: HostAddressesWorld;
    let host: HostAddresses;

    const has = (is: HostAddress['is'], address: string, device = 'up0'): boolean =>
      host.read().some((one) => one.is === is && one.prefix === `${address}/${bits}` && one.device === device);

    /** Does it and waits for a notice after which `wanted` holds. */
    async function until(act: () => unknown, wanted: () => boolean): Promise<void> {
      const notices: (() => void)[] = [];
      const subscription = host.watch(() => {
        for (const notice of notices.splice(0)) notice();
      });
      act();
      // Links and routes report by sockets of their own. What came and went at once may come once more when the second one is read, and then goes with the next reading.
      while (!wanted()) await new Promise<void>((resolve) => notices.push(resolve));
      subscription.close();
    }

    const route = (destination: string, via: string, metric = 50): KernelRoute => ({
      family,
      destination,
      via,
      metric,
      table: routeTable.main,
      protocol: 4,
      scope: routeScope.universe,
      type: 'unicast',
      deviceIndex: world.links.link('up0')!.index,
    });

    const commit = (verb: 'create' | 'replace' | 'delete', object: KernelRoute): void => expect(world.routes.commit([{ verb, object }])).toEqual([]);

    beforeEach(() => {
      world = open();
      world.links.createLink('up0', 'ifb');
      world.links.setLink('up0', { up: true });
      world.links.addAddress('up0', own, length, { noDad: true });
      world.links.refresh();
      host = world.open();
    });
    afterEach(() => {
      host.close();
      world.close();
    });

    test('what is there at the start is known', () => {
      expect(has('own', own)).toBe(true);
      expect(has('next-hop', router)).toBe(false);
      commit('create', route(far, router));
      const second = world.open();
      expect(second.read()).toContainEqual({ is: 'next-hop', prefix: `${router}/${bits}`, device: 'up0' });
      second.close();
    });

    test('an address is told when it comes and when it goes', async () => {
      await until(
        () => world.links.addAddress('up0', other, length, { noDad: true }),
        () => has('own', other),
      );
      await until(
        () => world.links.removeAddress('up0', other, length),
        () => !has('own', other),
      );
      expect(has('own', own)).toBe(true);
    });

    test('a next hop is told with its first route, and goes with its last', async () => {
      await until(
        () => commit('create', route(far, router)),
        () => has('next-hop', router),
      );
      commit('create', route(farther, router));
      commit('delete', route(far, router));
      await host.audit();
      expect(has('next-hop', router)).toBe(true);
      await until(
        () => commit('delete', route(farther, router)),
        () => !has('next-hop', router),
      );
    });

    test('the next hop of a route that was replaced goes', async () => {
      await until(
        () => commit('create', route(far, router)),
        () => has('next-hop', router),
      );
      await until(
        () => commit('replace', route(far, other)),
        () => has('next-hop', other) && !has('next-hop', router),
      );
    });

    test('next hops go with the link that the routes led out of', async () => {
      await until(
        () => commit('create', route(far, router)),
        () => has('next-hop', router),
      );
      await until(
        () => world.links.removeLink('up0'),
        () => host.read().every(({ prefix }) => prefix !== `${router}/${bits}` && prefix !== `${own}/${bits}`),
      );
    });

    test('a watcher that was closed is told nothing more', async () => {
      let told = 0;
      host.watch(() => told++).close();
      await until(
        () => commit('create', route(far, router)),
        () => has('next-hop', router),
      );
      expect(told).toBe(0);
    });
  });
}
