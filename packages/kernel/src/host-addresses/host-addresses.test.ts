import { expect, test } from 'vitest';
import { fakeLinks } from '../links/fake.ts';
import type { Change } from '../programmer/table.ts';
import { fakeRoutes } from '../routes/fake.ts';
import { routeTable } from '../routes/route.ts';
import { fakeHostAddresses } from './fake.ts';
import type { RouteAddresses } from './hops.ts';
import { hostAddressesFrom } from './host-addresses.ts';
import { hostAddressesContract } from './testing/contract.ts';

hostAddressesContract(() => {
  const links = fakeLinks();
  const routes = fakeRoutes(links.kernel);
  return { links, routes: routes.open(), open: () => fakeHostAddresses(links, routes), close: () => links.close() };
});

test('after lost changes the routes are read, and what was known stays until then', async () => {
  const links = fakeLinks();
  const routes = fakeRoutes(links.kernel, { deliverBy: 'hand' });
  const deviceIndex = links.kernel.add('up0', { up: true });
  const route = { family: 4, destination: '0.0.0.0/0', via: '192.0.2.1', metric: 0, table: 100, protocol: 4, scope: 0, type: 'unicast', deviceIndex } as const;
  const other = routes.open({ table: 100 });
  other.commit([{ verb: 'create', object: route }]);
  const runs: (() => void)[] = [];
  const host = fakeHostAddresses(links, routes, { later: (run) => runs.push(run), nowMs: () => 0 });
  const hops = () =>
    host
      .read()
      .filter(({ is }) => is === 'next-hop')
      .map(({ prefix }) => prefix);
  expect(hops()).toEqual(['192.0.2.1/32']);
  other.commit([{ verb: 'delete', object: route }]);
  other.commit([{ verb: 'create', object: { ...route, via: '192.0.2.2', table: routeTable.main } }]);
  routes.loseChanges();
  expect(hops()).toEqual(['192.0.2.1/32']);
  const told = new Promise<void>((resolve) => host.watch(() => hops()[0] !== '192.0.2.1/32' && resolve()));
  for (const run of runs.splice(0)) run();
  await told;
  expect(hops()).toEqual(['192.0.2.2/32']);
  host.close();
});

test('what happens on links that are left out is neither read nor told, and what leads through them neither', async () => {
  const links = fakeLinks();
  const routes = fakeRoutes(links.kernel);
  const [up0, tap0] = ['up0', 'tap0'].map((name) => links.kernel.add(name, { up: true }));
  links.refresh();
  const later: (() => void)[] = [];
  const host = fakeHostAddresses(links, routes, { leavesOut: (device) => device.startsWith('tap'), later: (run) => later.push(run) });
  let told = 0;
  host.watch(() => told++);
  const table = routes.open();
  const route = { family: 4, destination: '203.0.113.0/24', metric: 0, table: routeTable.main, protocol: 4, scope: 0, type: 'unicast' } as const;
  const throughTap = { ...route, via: '10.65.0.9', deviceIndex: tap0! };
  links.addAddress('tap0', '10.65.0.1', 32, { noDad: true });
  table.commit([{ verb: 'create', object: throughTap }]);
  table.commit([{ verb: 'delete', object: throughTap }]);
  const settled = async (): Promise<void> => {
    for (let round = 0; round < 3; round++) {
      for (const run of later.splice(0)) run();
      await new Promise(setImmediate);
    }
  };
  await settled();
  links.kernel.remove(tap0!);
  await settled();
  expect({ told, read: host.read() }).toEqual({ told: 0, read: [] });
  table.commit([{ verb: 'create', object: { ...route, via: '192.0.2.1', deviceIndex: up0! } }]);
  await new Promise(setImmediate);
  expect({ told: told > 0, read: host.read() }).toEqual({ told: true, read: [{ is: 'next-hop', prefix: '192.0.2.1/32', device: 'up0' }] });
  host.close();
});

test.each(['before', 'after'] as const)('a route whose event comes %s it is read is forgotten when it goes', async (order) => {
  const links = fakeLinks();
  const routes: RouteAddresses[] = [];
  const router = { addresses: [{ is: 'next-hop', prefix: '192.0.2.1/32', deviceIndex: undefined }], replaced: false } as const;
  let report: (changes: readonly Change<RouteAddresses>[]) => void = () => expect.unreachable();
  let lose: () => void = () => expect.unreachable();
  const host = hostAddressesFrom(
    links,
    {
      read: () => routes,
      async readInSlices(visit) {
        const tell = (): void => report(routes.map((object) => ({ is: 'present', object })));
        if (order === 'before') tell();
        for (const route of routes) visit(route);
        if (order === 'after') setImmediate(tell);
      },
      watch: (onChanges, onLost) => {
        [report, lose] = [onChanges, onLost];
        return { close: () => undefined };
      },
      close: () => undefined,
    },
    { nowMs: () => 0 },
  );
  routes.push(router);
  lose();
  await expect.poll(() => host.read()).toHaveLength(1);
  for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate); // the reading has ended
  routes.pop();
  report([{ is: 'absent', object: router }]);
  await expect.poll(() => host.read()).toHaveLength(0);
  host.close();
});
