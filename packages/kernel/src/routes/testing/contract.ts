// The promises of every table of routes; the kernel's and the fake's have to keep them.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { LinkEditor, Links } from '../../links/link.ts';
import type { Change, KernelTable } from '../../programmer/table.ts';
import type { RouteFilter, RouteTable } from '../netlink.ts';
import { type KernelRoute, printRoute, routeKind, routeTable } from '../route.ts';

/** A kernel with links and routes. `open` makes another program's view of the routes. */
export type RoutesWorld = { readonly links: Links & LinkEditor; open(scope?: RouteFilter): RouteTable; close(): void };

/** Resolves with the next changes once one of them passes `wanted`. */
export function nextRouteChange(table: KernelTable<KernelRoute>, wanted: (change: Change<KernelRoute>) => boolean): Promise<readonly Change<KernelRoute>[]> {
  return new Promise((resolve, reject) => {
    const seen: Change<KernelRoute>[] = [];
    const subscription = table.watch(
      (changes) => {
        seen.push(...changes);
        if (!changes.some(wanted)) return;
        subscription.close();
        resolve(seen);
      },
      () => reject(new Error('changes were lost')),
    );
  });
}

const families = [
  { family: 4, web: '10.65.0.4/32', other: '10.65.0.5/32', wide: '10.66.0.0/16', hop: '10.65.0.4', source: '192.0.2.5', length: 32, scope: 253, reached: 0 },
  {
    family: 6,
    web: '2001:db8::4/128',
    other: '2001:db8::5/128',
    wide: '2001:db8:1::/48',
    hop: 'fe80::1',
    source: '2001:db8:ff::1',
    length: 128,
    scope: 0,
    reached: 0,
  },
] as const;

/** Registers the tests. */
export function routesContract(open: () => RoutesWorld): void {
  describe.each(families)('IPv$family routes', ({ family, web, other, wide, hop, source, length, scope, reached }) => {
    let world: RoutesWorld;
    let table: RouteTable;
    let tap1: number;
    let tap2: number;

    const addLink = (name: string): number => {
      expect(world.links.createLink(name, 'ifb')).toBeUndefined();
      world.links.setLink(name, { up: true });
      world.links.refresh();
      const link = world.links.link(name);
      if (!link) throw new Error(`no link ${name}`);
      return link.index;
    };

    beforeEach(() => {
      world = open();
      table = world.open();
      tap1 = addLink('tap1');
      tap2 = addLink('tap2');
    });
    afterEach(() => {
      table.close();
      world.close();
    });

    const route = (deviceIndex: number, change: Partial<KernelRoute> = {}): KernelRoute => ({
      family,
      destination: web,
      metric: 1024,
      table: routeTable.main,
      protocol: 80,
      scope,
      type: 'unicast',
      deviceIndex,
      ...change,
    });
    const create = (object: KernelRoute) => table.commit([{ verb: 'create', object }]);
    const replace = (object: KernelRoute) => table.commit([{ verb: 'replace', object }]);
    const remove = (object: KernelRoute) => table.commit([{ verb: 'delete', object }]);
    /** Our routes in the kernel, without the kernel's own. */
    const there = (filter?: RouteFilter): KernelRoute[] => table.read(filter).filter(({ protocol }) => protocol !== 2);

    test('a created route is read back unchanged', () => {
      expect(create(route(tap1))).toEqual([]);
      expect(there()).toEqual([route(tap1)]);
    });

    test('a route to a wider prefix, through a next hop', () => {
      create(route(tap1));
      const through = route(tap1, { destination: wide, via: hop, scope: reached, protocol: 4, metric: 7 });
      expect(create(through)).toEqual([]);
      expect(there({ protocol: 4 })).toEqual([through]);
    });

    test('a route with a source address of this host', () => {
      world.links.addAddress('tap1', source, length, { noDad: true });
      expect(create(route(tap1, { prefSource: source }))).toEqual([]);
      expect(there().filter(({ destination }) => destination === web)).toEqual([route(tap1, { prefSource: source })]);
    });

    test('a blackhole', () => {
      const { deviceIndex: _, ...blackhole } = route(0, { type: 'blackhole', scope: reached, destination: wide });
      expect(create(blackhole)).toEqual([]);
      expect(there()).toEqual([blackhole]);
      expect(remove(blackhole)).toEqual([]);
      expect(there()).toEqual([]);
    });

    test('no second route with the same key can be created, whatever its device or protocol', () => {
      create(route(tap1));
      const second = route(tap2, { protocol: 4 });
      expect(create(second)).toMatchObject([{ operation: { verb: 'create', object: second }, code: 'EXISTS', errno: 'EEXIST' }]);
      expect(there()).toEqual([route(tap1)]);
    });

    test('a replacement replaces the route with its key, and also works when there is none', () => {
      expect(replace(route(tap1))).toEqual([]);
      expect(replace(route(tap2, { protocol: 4 }))).toEqual([]);
      expect(there()).toEqual([route(tap2, { protocol: 4 })]);
      expect(replace(route(tap2, { protocol: 4 }))).toEqual([]);
      expect(there()).toEqual([route(tap2, { protocol: 4 })]);
    });

    test('routes that differ in the metric exist side by side', () => {
      create(route(tap1));
      create(route(tap2, { metric: 512 }));
      expect(there().sort((a, b) => a.metric - b.metric)).toEqual([route(tap2, { metric: 512 }), route(tap1)]);
      expect(remove(route(tap1))).toEqual([]);
      expect(there()).toEqual([route(tap2, { metric: 512 })]);
    });

    test.each<{ readonly what: string; readonly change: Partial<KernelRoute> }>([
      { what: 'destination', change: { destination: other } },
      { what: 'metric', change: { metric: 1 } },
      { what: 'protocol', change: { protocol: 4 } },
      { what: 'device', change: { deviceIndex: 2 ** 20 } },
    ])('a deletion does not delete a route with another $what', ({ change }) => {
      create(route(tap1));
      expect(remove(route(tap1, change))).toMatchObject([{ code: 'ABSENT' }]);
      expect(there()).toEqual([route(tap1)]);
    });

    test('a refused operation is returned, and the others are done', () => {
      world.links.setLink('tap2', { up: false });
      const gone = route(2 ** 20);
      const down = route(tap2, { metric: 9 });
      const fine = route(tap1, { destination: other });
      const refusals = table.commit([gone, down, fine].map((object) => ({ verb: 'create', object })));
      expect(refusals.map(({ operation, code, errno }) => [operation.object, code, errno])).toEqual([
        [gone, 'DEVICE_GONE', 'ENODEV'],
        [down, 'DEVICE_DOWN', 'ENETDOWN'],
      ]);
      expect(there()).toEqual([fine]);
    });

    test('a long list is done in order, and each refusal names its own operation', () => {
      const nth = (count: number): KernelRoute =>
        route(tap1, { destination: family === 4 ? `10.70.${count >> 8}.${count & 255}/32` : `2001:db8:70::${(count + 1).toString(16)}/128` });
      const operations = Array.from({ length: 1201 }, (_, count) => ({ verb: 'create' as const, object: nth(count % 1200) }));
      expect(table.commit(operations).map(({ operation }) => operations.indexOf(operation as (typeof operations)[number]))).toEqual([1200]);
      expect(there().length).toBe(1200);
    });

    test('the routes through a link are deleted when the link goes down, and when it is deleted', () => {
      create(route(tap1));
      create(route(tap2, { destination: other }));
      world.links.setLink('tap1', { up: false });
      world.links.setLink('tap1', { up: true });
      expect(there()).toEqual([route(tap2, { destination: other })]);
      world.links.removeLink('tap2');
      expect(there()).toEqual([]);
    });

    test('reading in slices gives the same routes', async () => {
      const many = Array.from({ length: 1500 }, (_, count) =>
        route(tap1, { destination: family === 4 ? `10.70.${count >> 8}.${count & 255}/32` : `2001:db8:70::${(count + 1).toString(16)}/128` }),
      );
      table.commit(many.map((object) => ({ verb: 'create', object })));
      create(route(tap2, { table: 1000 }));
      const seen: KernelRoute[] = [];
      await table.readInSlices((object) => seen.push(object));
      expect(seen.length).toBeGreaterThanOrEqual(many.length);
      expect(seen.map(printRoute).sort()).toEqual(table.read().map(printRoute).sort());
    });

    test('reading can be restricted to a protocol, a device, a table', () => {
      const [plain, foreign, elsewhere] = [route(tap1), route(tap2, { destination: other, protocol: 4 }), route(tap1, { destination: other, table: 1000 })];
      for (const object of [plain, foreign, elsewhere]) expect(create(object)).toEqual([]);
      expect(there()).toEqual([plain, foreign]);
      expect(there({ protocol: 80, table: routeTable.main })).toEqual([plain]);
      expect(there({ deviceIndex: tap2 })).toEqual([foreign]);
      expect(there({ protocol: 80, deviceIndex: tap2 })).toEqual([]);
      expect(there({ table: 1000 })).toEqual([elsewhere]);
      expect(there({ table: 1001 })).toEqual([]);
    });

    test('changes by another program are reported, changes through this table are not', async () => {
      const another = world.open();
      const told = nextRouteChange(table, ({ is, object }) => is === 'absent' && object.destination === web);
      create(route(tap1, { destination: other }));
      another.commit([{ verb: 'create', object: route(tap1) }]);
      another.commit([{ verb: 'delete', object: route(tap1) }]);
      const ofRoutes = (await told).filter(({ object }) => object.protocol === 80);
      expect(ofRoutes).toEqual([
        { is: 'present', object: route(tap1) },
        { is: 'absent', object: route(tap1) },
      ]);
      another.close();
    });

    test('a table reports only routes that pass its filter', async () => {
      const another = world.open({ table: 1000 });
      const told = nextRouteChange(table, ({ object }) => object.protocol === 80);
      another.commit([{ verb: 'create', object: route(tap1, { table: 1000 }) }]);
      another.commit([{ verb: 'create', object: route(tap1) }]);
      expect((await told).filter(({ object }) => object.protocol === 80)).toEqual([{ is: 'present', object: route(tap1) }]);
      another.close();
    });

    if (family === 4) {
      test('a deletion with metric 0 deletes the route with the lowest metric', () => {
        create(route(tap1));
        create(route(tap1, { metric: 512 }));
        expect(remove(route(tap1, { metric: 0 }))).toEqual([]);
        expect(there()).toEqual([route(tap1)]);
      });
    } else {
      test('a metric of 0 is the kernel’s 1024', () => {
        create(routeKind.place({ ...route(tap1), metric: 0 }, tap1));
        expect(there()).toEqual([route(tap1)]);
      });
    }
  });
}
