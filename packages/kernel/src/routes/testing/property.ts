// A world in memory with our routes and those of other programs, and the property that holds in it.
import fc from 'fast-check';
import { expect } from 'vitest';
import { fakeLinks } from '../../links/fake.ts';
import type { Programmer } from '../../programmer/programmer.ts';
import { fakeRoutes } from '../fake.ts';
import { createRouteProgrammer, ownsRoutes } from '../programmer.ts';
import { deviceRoute, type KernelRoute, printRoute, type Route, routeKey, routeKind } from '../route.ts';

export const own = 80;
export const foreign = 4;
const owns = ownsRoutes({ protocols: [own], devicePrefixes: ['tap'] });

/** A world with the links tap1, tap2 (ours by name) and eth0, all up. Events are reported when they are delivered. */
export function openProgrammerWorld() {
  const links = fakeLinks({ deliverBy: 'hand' });
  const routes = fakeRoutes(links.kernel, { deliverBy: 'hand' });
  let drifts = 0;
  for (const name of ['tap1', 'tap2', 'eth0']) links.kernel.add(name, { up: true, running: true });
  links.kernel.deliver();
  const programmer: Programmer<Route> = createRouteProgrammer({ table: routes.open(), devices: links, owns, onDrift: () => drifts++ });
  links.watch(({ links: names }) => {
    for (const name of names) programmer.deviceChanged(name);
  });
  const another = routes.open();
  const index = (name: string): number => [...links.kernel.links.values()].find((link) => link.name === name)?.index ?? -1;
  return {
    links,
    routes,
    programmer,
    another,
    index,
    drifts: () => drifts,
    deliver() {
      links.kernel.deliver();
      routes.deliver();
    },
    others: (verb: 'create' | 'replace' | 'delete', object: KernelRoute) => another.commit([{ verb, object }]),
    operations: () => routes.commits.flat().map(({ verb, object }) => `${verb} ${printRoute(object)}`),
  };
}

const devices = ['tap1', 'tap2', 'eth0'] as const;
const device = fc.constantFrom(...devices);
const destination = fc.constantFrom('10.65.0.4/32', '10.65.0.0/24', '2001:db8::4/128');
const metric = fc.constantFrom(0, 512, 1024);
const anyRoute = fc.record({ destination, device, metric, protocol: fc.constantFrom(own, foreign) });
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('want' as const), destination, device, metric }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('unwant' as const), destination, metric }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('others' as const),
      verb: fc.constantFrom('create' as const, 'replace' as const, 'delete' as const, 'append' as const),
      route: anyRoute,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('take away' as const), nth: fc.nat(9) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('switch' as const), device, up: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remake' as const), device, up: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('swap names' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('deliver links' as const, 'deliver routes' as const, 'lose links' as const, 'lose routes' as const, 'fail' as const),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('apply' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('audit' as const) }) },
);

/**
 * Whatever happens, and whenever it is reported: our routes end as wanted (unless their device is missing or their place is taken), nobody else's are
 * touched, wanted routes are added before unwanted ones are deleted, and then nothing more is sent.
 */
export async function routesProperty(numRuns: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const { links, routes, programmer, another, index, deliver } = openProgrammerWorld();
      const wanted = new Map<string, Route>();
      let fails = false;
      let audits = Promise.resolve();
      const isOurs = (one: KernelRoute): boolean => owns(one, one.deviceIndex === undefined ? undefined : links.kernel.links.get(one.deviceIndex)?.name);
      const theirs = (): string[] => routes.routes.filter((one) => !isOurs(one)).map(printRoute);
      const build = ({ destination, device, metric, protocol }: { destination: string; device: string; metric: number; protocol: number }): Route =>
        deviceRoute({ destination, device, metric, protocol });

      const apply = (): void => {
        const before = theirs();
        routes.commits.length = 0;
        if (fails) routes.failures.push(new Error('answers were lost'));
        fails = false;
        try {
          programmer.apply();
        } catch (error) {
          expect((error as Error).message).toBe('answers were lost');
        }
        routes.failures.length = 0;
        expect(theirs()).toEqual(before);
        for (const operations of routes.commits) {
          const verbs = operations.map(({ verb }) => verb === 'delete');
          expect(verbs).toEqual([...verbs].sort()); // additions come first
        }
      };

      for (const now of steps) {
        switch (now.do) {
          case 'want': {
            const want = build({ ...now, protocol: own });
            wanted.set(routeKey(want), want);
            programmer.set(want);
            break;
          }
          case 'unwant': {
            const key = routeKey(build({ ...now, device: 'tap1', protocol: own }));
            wanted.delete(key);
            programmer.remove(key);
            break;
          }
          case 'others': {
            const object = routeKind.place(build(now.route), index(now.route.device));
            const taken = routes.routes.some((one) => routeKind.key(one) === routeKind.key(object) && routeKind.same(one, object));
            if (now.verb !== 'append') another.commit([{ verb: now.verb, object }]);
            else if (links.kernel.links.get(object.deviceIndex ?? -1)?.up && !taken) routes.append(object);
            // The kernel has no compare-and-swap: a replacement may hit another program's route that has just replaced ours and was not reported yet.
            if (!isOurs(object) && wanted.has(routeKey(object))) routes.deliver();
            break;
          }
          case 'take away': {
            const object = routes.routes[now.nth];
            if (object) another.commit([{ verb: 'delete', object }]);
            break;
          }
          case 'switch':
            links.setLink(now.device, { up: now.up });
            break;
          case 'remake':
            links.kernel.remove(index(now.device));
            links.kernel.add(now.device, { up: now.up });
            break;
          case 'swap names': {
            const [first, second] = [index('tap1'), index('tap2')];
            links.kernel.change(first, { name: 'moving' });
            links.kernel.change(second, { name: 'tap1' });
            links.kernel.change(first, { name: 'tap2' });
            break;
          }
          case 'deliver links':
            links.kernel.deliver();
            break;
          case 'deliver routes':
            routes.deliver();
            break;
          case 'lose links':
            links.kernel.loseEvents();
            break;
          case 'lose routes':
            routes.loseChanges();
            break;
          case 'fail':
            fails = true;
            break;
          case 'apply':
            apply();
            break;
          case 'audit':
            await audits;
            audits = programmer.audit();
            break;
        }
        await Promise.resolve(); // lets a running audit continue
      }

      fails = false;
      await audits;
      deliver();
      apply();
      const occupied = (key: string): boolean => routes.routes.some((one) => !isOurs(one) && routeKind.key(one) === key);
      const possible = [...wanted.values()]
        .map((want) => routeKind.place(want, index(want.device ?? '')))
        .filter((object) => links.kernel.links.get(object.deviceIndex ?? -1)?.up);
      const [open, blocked] = [possible.filter((one) => !occupied(routeKind.key(one))), possible.filter((one) => occupied(routeKind.key(one)))];
      const ours = routes.routes.filter(isOurs).map(printRoute).sort();
      // Beside another program's route, ours may exist (if both existed before) or wait.
      expect(ours.filter((one) => !blocked.map(printRoute).includes(one))).toEqual(open.map(printRoute).sort());
      const report = programmer.apply();
      expect(report.refusals.map(({ key }) => key).sort()).toEqual(
        [...wanted.keys()].filter((key) => !ours.includes(printRoute(routeKind.place(wanted.get(key) as Route, index(wanted.get(key)?.device ?? ''))))).sort(),
      );
      expect(report.operations).toBe(report.refusals.filter(({ code }) => !code.startsWith('DEVICE_')).length); // refused operations are retried
    }),
    { numRuns },
  );
}
