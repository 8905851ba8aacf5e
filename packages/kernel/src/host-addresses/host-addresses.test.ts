import { expect, test } from 'vitest';
import { fakeLinks } from '../links/fake.ts';
import { fakeRoutes } from '../routes/fake.ts';
import { routeTable } from '../routes/route.ts';
import { fakeHostAddresses } from './fake.ts';
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
