import { beforeEach, describe, expect, test } from 'vitest';
import { deviceRoute, type KernelRoute, printRoute, type Route, routeKey, routeKind } from './route.ts';
import { foreign, openProgrammerWorld, own, routesProperty } from './testing/property.ts';

const web = '10.65.0.4/32';
const route = (destination: string, device: string, change: Partial<Route> = {}): Route => ({
  ...deviceRoute({ destination, device, metric: 1024, protocol: own }),
  ...change,
});

describe('wanted routes are programmed', () => {
  let world: ReturnType<typeof openProgrammerWorld>;
  beforeEach(() => {
    world = openProgrammerWorld();
  });
  const placed = (wanted: Route): KernelRoute => routeKind.place(wanted, world.index(wanted.device ?? ''));
  const inKernel = (): string[] => world.routes.routes.map(printRoute).sort();
  const wantedInKernel = (...wanted: readonly Route[]): string[] => wanted.map((one) => printRoute(placed(one))).sort();

  test('wanted routes are added, unwanted ones deleted, and nothing else is sent', () => {
    const [first, second] = [route(web, 'tap1'), route('2001:db8::4/128', 'tap1')];
    world.programmer.set(first);
    world.programmer.set(second);
    expect(world.programmer.dirty).toBe(true);
    expect(world.programmer.apply()).toEqual({ operations: 2, compared: true, refusals: [] });
    expect(world.programmer.dirty).toBe(false);
    expect(inKernel()).toEqual(wantedInKernel(first, second));
    world.programmer.remove(routeKey(first));
    expect(world.programmer.apply()).toEqual({ operations: 1, compared: false, refusals: [] });
    expect(inKernel()).toEqual(wantedInKernel(second));
    expect(world.programmer.apply()).toEqual({ operations: 0, compared: false, refusals: [] });
  });

  test('after a restart, right routes are not touched, and our unwanted ones are deleted', () => {
    for (const wanted of [route(web, 'tap1'), route('10.65.0.9/32', 'tap1')]) world.others('create', placed(wanted));
    world.programmer.set(route(web, 'tap1'));
    world.routes.commits.length = 0;
    world.programmer.apply();
    expect(world.operations()).toEqual([`delete ${printRoute(placed(route('10.65.0.9/32', 'tap1')))}`]);
  });

  test('an address that moves to another device is never without a route', () => {
    world.programmer.set(route(web, 'tap1'));
    world.programmer.apply();
    world.routes.commits.length = 0;
    world.programmer.set(route(web, 'tap2'));
    world.programmer.apply();
    expect(world.operations()).toEqual([`replace ${printRoute(placed(route(web, 'tap2')))}`]);
  });

  test('a route whose metric changes is added with the new one before the old one is deleted', () => {
    world.programmer.set(route(web, 'tap1', { metric: 512 }));
    world.programmer.apply();
    world.routes.commits.length = 0;
    world.programmer.remove(routeKey(route(web, 'tap1', { metric: 512 })));
    world.programmer.set(route(web, 'tap1'));
    world.programmer.apply();
    expect(world.operations().map((words) => words.split(' ')[0])).toEqual(['create', 'delete']);
    expect(inKernel()).toEqual(wantedInKernel(route(web, 'tap1')));
  });

  test('a route that another program deletes is added again', () => {
    world.programmer.set(route(web, 'tap1'));
    world.programmer.apply();
    world.others('delete', placed(route(web, 'tap1')));
    world.deliver();
    expect(world.drifts()).toBe(1);
    expect(world.programmer.dirty).toBe(true);
    expect(world.programmer.apply()).toEqual({ operations: 1, compared: false, refusals: [] });
    expect(inKernel()).toEqual(wantedInKernel(route(web, 'tap1')));
  });

  test('a route that another program adds on a device of ours is deleted; elsewhere it stays', () => {
    world.programmer.apply();
    world.others('create', placed(route(web, 'eth0', { protocol: foreign })));
    world.deliver();
    expect(world.drifts()).toBe(0);
    expect(world.programmer.dirty).toBe(false);
    world.others('create', placed(route('10.65.0.5/32', 'tap1', { protocol: foreign })));
    world.deliver();
    expect(world.drifts()).toBe(1);
    world.programmer.apply();
    expect(inKernel()).toEqual(wantedInKernel(route(web, 'eth0', { protocol: foreign })));
  });

  test('the kernel’s own routes on our devices stay', () => {
    world.others('create', { ...placed(route('fe80::/64', 'tap1')), protocol: 2, metric: 256 });
    world.programmer.apply();
    world.deliver();
    world.programmer.apply();
    expect(inKernel()).toHaveLength(1);
  });

  test('another program’s route keeps its place, and the wanted one is added when it is deleted', () => {
    const theirs = placed(route(web, 'eth0', { protocol: foreign }));
    world.others('create', theirs);
    world.programmer.set(route(web, 'tap1'));
    expect(world.programmer.apply().refusals).toMatchObject([{ key: routeKey(route(web, 'tap1')), code: 'OCCUPIED', errno: 'EEXIST' }]);
    expect(world.programmer.apply()).toMatchObject({ compared: false, refusals: [{ code: 'OCCUPIED' }] });
    expect(inKernel()).toEqual([printRoute(theirs)]);
    world.others('delete', theirs);
    world.deliver();
    expect(world.programmer.apply().refusals).toEqual([]);
    expect(inKernel()).toEqual(wantedInKernel(route(web, 'tap1')));
  });

  test('a route that blocked ours and was deleted with its device, without a report, is noticed', () => {
    world.others('create', placed(route(web, 'eth0', { protocol: foreign })));
    world.programmer.set(route(web, 'tap1'));
    world.programmer.apply();
    world.links.setLink('eth0', { up: false });
    expect(world.programmer.apply().refusals).toEqual([]);
    expect(inKernel()).toEqual(wantedInKernel(route(web, 'tap1')));
  });

  test('deleting an IPv4 route of metric 0 that may not exist any more does not delete one with another metric', () => {
    const [zero, other] = [route(web, 'tap1', { metric: 0 }), route(web, 'tap1')];
    world.programmer.set(zero);
    world.programmer.set(other);
    world.programmer.apply();
    world.others('delete', placed(zero));
    world.deliver();
    world.programmer.remove(routeKey(zero));
    expect(world.programmer.apply()).toEqual({ operations: 0, compared: true, refusals: [] });
    expect(inKernel()).toEqual(wantedInKernel(other));
  });

  test('a route whose device does not exist waits for it', () => {
    world.programmer.set(route(web, 'tap9'));
    expect(world.programmer.apply()).toMatchObject({ operations: 0, refusals: [{ key: routeKey(route(web, 'tap9')), code: 'DEVICE_GONE' }] });
    expect(world.programmer.dirty).toBe(false);
    world.links.kernel.add('tap9', { up: true });
    world.deliver();
    expect(world.programmer.dirty).toBe(true);
    expect(world.programmer.apply().refusals).toEqual([]);
    expect(inKernel()).toEqual(wantedInKernel(route(web, 'tap9')));
  });

  test('a route whose device is down waits for it, and a wrong route in its place is deleted at once', () => {
    world.programmer.set(route(web, 'tap1'));
    world.programmer.apply();
    world.links.setLink('tap2', { up: false });
    world.deliver();
    world.programmer.set(route(web, 'tap2'));
    expect(world.programmer.apply().refusals).toMatchObject([{ key: routeKey(route(web, 'tap2')), code: 'DEVICE_DOWN', errno: 'ENETDOWN' }]);
    expect(inKernel()).toEqual([]);
    expect(world.programmer.dirty).toBe(false);
    expect(world.programmer.apply()).toMatchObject({ operations: 0, refusals: [{ code: 'DEVICE_DOWN' }] });
    world.links.setLink('tap2', { up: true });
    world.deliver();
    expect(world.programmer.apply().refusals).toEqual([]);
    expect(inKernel()).toEqual(wantedInKernel(route(web, 'tap2')));
  });

  test('a link that was down for a moment gets its routes again without a reading of the kernel', () => {
    world.programmer.set(route(web, 'tap1'));
    world.programmer.set(route('2001:db8::4/128', 'tap1'));
    world.programmer.apply();
    world.links.setLink('tap1', { up: false });
    world.links.setLink('tap1', { up: true });
    expect(inKernel()).toEqual([]);
    world.deliver();
    expect(world.programmer.apply()).toEqual({ operations: 2, compared: false, refusals: [] });
    expect(inKernel()).toEqual(wantedInKernel(route(web, 'tap1'), route('2001:db8::4/128', 'tap1')));
  });

  test('a link that was deleted and created again gets its routes, with its new index', () => {
    world.programmer.set(route(web, 'tap1'));
    world.programmer.apply();
    world.links.kernel.remove(world.index('tap1'));
    world.links.kernel.add('tap1', { up: true });
    world.deliver();
    expect(world.programmer.apply().refusals).toEqual([]);
    expect(inKernel()).toEqual(wantedInKernel(route(web, 'tap1')));
  });

  test('after lost changes everything is compared', () => {
    world.programmer.set(route(web, 'tap1'));
    world.programmer.apply();
    world.others('delete', placed(route(web, 'tap1')));
    world.routes.loseChanges();
    expect(world.drifts()).toBe(1);
    expect(world.programmer.apply()).toEqual({ operations: 1, compared: true, refusals: [] });
    expect(inKernel()).toEqual(wantedInKernel(route(web, 'tap1')));
  });

  test('a commit whose outcome is not known throws, and the next apply starts with a reading', () => {
    for (const last of [1, 2, 3, 4]) world.programmer.set(route(`10.65.0.${last}/32`, 'tap1'));
    world.routes.failures.push(new Error('answers were lost'));
    expect(() => world.programmer.apply()).toThrow('answers were lost');
    expect(world.programmer.dirty).toBe(true);
    expect(world.programmer.apply()).toEqual({ operations: 2, compared: true, refusals: [] });
    expect(inKernel()).toHaveLength(4);
  });

  test('a value that is not a route is refused when it is set', () => {
    for (const wrong of [{ destination: '10.65.0.4' }, { family: 6 }, { metric: -1 }, { protocol: 256 }, { via: 'nowhere' }, { prefSource: '::1' }] as const) {
      expect(() => world.programmer.set({ ...route(web, 'tap1'), ...wrong })).toThrow(RangeError);
    }
  });
});

describe('an audit', () => {
  const [first, second] = [route('10.65.0.1/32', 'tap1'), route('10.65.0.2/32', 'tap1')];
  const openAudited = () => {
    const world = openProgrammerWorld();
    for (const wanted of [first, second]) world.programmer.set(wanted);
    world.programmer.apply();
    const placed = (wanted: Route): KernelRoute => routeKind.place(wanted, world.index(wanted.device ?? ''));
    return {
      ...world,
      placed,
      inKernel: () => world.routes.routes.map(printRoute).sort(),
      wantedInKernel: (...wanted: readonly Route[]) => wanted.map((one) => printRoute(placed(one))).sort(),
    };
  };

  test('without findings leaves nothing to do', async () => {
    const { programmer, drifts } = openAudited();
    await programmer.audit();
    expect(drifts()).toBe(0);
    expect(programmer.dirty).toBe(false);
  });

  test('finds unreported differences of both kinds, and only those are sent', async () => {
    const { programmer, drifts, others, placed, inKernel, wantedInKernel } = openAudited();
    others('delete', placed(first));
    others('create', placed(route('10.65.0.9/32', 'tap2', { protocol: foreign })));
    await programmer.audit();
    expect(drifts()).toBe(1);
    expect(programmer.apply()).toEqual({ operations: 2, compared: false, refusals: [] });
    expect(inKernel()).toEqual(wantedInKernel(first, second));
  });

  test('does not undo what happens while it reads', async () => {
    const { programmer, inKernel, wantedInKernel } = openAudited();
    const third = route('10.65.0.0/32', 'tap1'); // it sorts before the others, so the reading has already passed its place
    const reading = programmer.audit();
    await Promise.resolve();
    programmer.set(third);
    programmer.remove(routeKey(second));
    programmer.apply();
    await reading;
    expect(programmer.dirty).toBe(false);
    expect(inKernel()).toEqual(wantedInKernel(first, third));
  });

  test('doubts what it has read of a link that lost it meanwhile', async () => {
    const { programmer, others, placed, links, inKernel, wantedInKernel } = openAudited();
    const third = route('10.65.0.0/32', 'tap2');
    others('create', placed(third)); // by somebody else; the kernel has not reported it yet
    programmer.set(third);
    const reading = programmer.audit(); // it begins with this route
    links.setLink('tap2', { up: false });
    links.setLink('tap2', { up: true });
    links.kernel.deliver();
    await reading;
    programmer.apply();
    expect(inKernel()).toEqual(wantedInKernel(first, second, third));
  });

  test('takes nothing over about what the kernel is to be read for anyway', async () => {
    const { programmer, others, placed, inKernel, wantedInKernel, drifts } = openAudited();
    others('delete', placed(first));
    const reading = programmer.audit();
    programmer.distrust();
    await reading;
    expect(drifts()).toBe(0);
    expect(programmer.apply()).toMatchObject({ operations: 1, compared: true });
    expect(inKernel()).toEqual(wantedInKernel(first, second));
  });

  test('does nothing while another one reads', async () => {
    const { programmer, others, placed, drifts } = openAudited();
    others('delete', placed(first));
    await Promise.all([programmer.audit(), programmer.audit()]);
    expect(drifts()).toBe(1);
  });
});

test('whatever happens, and whenever it is reported, our routes end as wanted, nobody else’s are touched, and then nothing more is sent', async () => {
  await routesProperty(1000);
});
