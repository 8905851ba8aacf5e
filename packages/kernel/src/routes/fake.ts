// Routes in memory for several programs. They are as strict as the kernel: the same refusals, and the same losses when a link goes down.
import type { FakeLinkKernel } from '../links/fake.ts';
import type { Operation } from '../programmer/diff.ts';
import type { Change, Refusal } from '../programmer/table.ts';
import type { RouteFilter, RouteTable } from './netlink.ts';
import { type KernelRoute, routeKind, routeTable } from './route.ts';

/** The routes of a fake kernel, and its controls. */
export interface FakeRoutes {
  /** A program's view of the routes. Its own changes are not reported to it. */
  open(scope?: RouteFilter): RouteTable;
  readonly routes: readonly KernelRoute[];
  /** Adds a route behind others with the same key, which only `ip route append` does. */
  append(route: KernelRoute): void;
  /** The committed operations, one list per call. */
  readonly commits: (readonly Operation<KernelRoute>[])[];
  /** Reports pending changes to the watchers now, instead of in the next microtask. */
  deliver(): void;
  /** Discards pending changes, and reports to the watchers that changes were lost. */
  loseChanges(): void;
  /** Errors for the next commits to throw, one each, after half of the operations were done. */
  readonly failures: Error[];
}

/**
 * An empty table of routes over these links. With `deliverBy: 'hand'`, changes are reported only by `deliver`.
 * Longer than 80 lines: a kernel and the programs that have it open, over the same map.
 */
export function fakeRoutes(links: FakeLinkKernel, options: { readonly deliverBy?: 'itself' | 'hand' } = {}): FakeRoutes {
  const { deliverBy = 'itself' } = options;
  const byKey = new Map<string, KernelRoute[]>();
  const programs = new Set<{ onChanges(changes: readonly Change<KernelRoute>[]): void; onLost(): void; waiting: Change<KernelRoute>[] }>();
  const commits: (readonly Operation<KernelRoute>[])[] = [];
  const failures: Error[] = [];

  function happen(change: Change<KernelRoute>, author?: unknown): void {
    for (const program of programs) {
      if (program === author) continue;
      program.waiting.push(change);
      if (deliverBy === 'itself' && program.waiting.length === 1) queueMicrotask(deliver);
    }
  }

  function deliver(): void {
    for (const program of programs) {
      const changes = program.waiting;
      program.waiting = [];
      if (changes.length > 0) program.onChanges(changes);
    }
  }

  links.dropped.add((index) => {
    for (const [key, list] of byKey) {
      const kept = list.filter((route) => route.deviceIndex !== index);
      byKey.set(key, kept);
      // The kernel does not report the IPv4 routes that it deletes.
      for (const object of list) if (object.deviceIndex === index && object.family === 6) happen({ is: 'absent', object });
    }
  });

  links.lostLastIpv4.add((index) => {
    for (const [key, list] of byKey)
      byKey.set(
        key,
        list.filter((route) => route.deviceIndex !== index || route.family !== 4),
      );
  });

  function put(verb: 'create' | 'replace' | 'append', object: KernelRoute, author: unknown): Pick<Refusal<KernelRoute>, 'code' | 'errno'> | undefined {
    const link = object.deviceIndex === undefined ? undefined : links.links.get(object.deviceIndex);
    if (object.deviceIndex !== undefined && !link) return { code: 'DEVICE_GONE', errno: 'ENODEV' };
    if (link && !link.up) return { code: 'DEVICE_DOWN', errno: 'ENETDOWN' };
    const key = routeKind.key(object);
    const list = byKey.get(key) ?? [];
    const equal = list.findIndex((route) => routeKind.same(route, object));
    if ((verb === 'create' && list.length > 0) || (verb === 'replace' && equal > 0) || (verb === 'append' && equal >= 0))
      return { code: 'EXISTS', errno: 'EEXIST' };
    if (verb === 'replace' && equal === 0) return undefined;
    byKey.set(key, verb === 'append' ? [...list, object] : [object, ...list.slice(1)]);
    happen({ is: 'present', object }, author);
    return undefined;
  }

  /** Deletes a route. Everything that the request names must match, except that an IPv4 metric of 0 matches any. */
  function remove(object: KernelRoute, author: unknown): Pick<Refusal<KernelRoute>, 'code' | 'errno'> | undefined {
    const anyMetric = object.family === 4 && object.metric === 0;
    const fits = (route: KernelRoute): boolean =>
      routeKind.same(route, object) && routeKind.key(anyMetric ? { ...route, metric: 0 } : route) === routeKind.key(object);
    const found = [...byKey.values()]
      .flat()
      .filter(fits)
      .sort((a, b) => a.metric - b.metric)[0];
    if (!found) return { code: 'ABSENT', errno: 'ESRCH' };
    const key = routeKind.key(found);
    byKey.set(
      key,
      (byKey.get(key) ?? []).filter((route) => route !== found),
    );
    happen({ is: 'absent', object: found }, author);
    return undefined;
  }

  function open(scope: RouteFilter = { table: routeTable.main }): RouteTable {
    const passes = (route: KernelRoute, filter: RouteFilter): boolean =>
      (['table', 'protocol', 'deviceIndex'] as const).every((field) => filter[field] === undefined || filter[field] === route[field]);
    const program = { waiting: [] as Change<KernelRoute>[], onChanges: (_: readonly Change<KernelRoute>[]): void => undefined, onLost: (): void => undefined };
    return {
      read: (filter = scope) => [...byKey.values()].flat().filter((route) => passes(route, filter)),
      async readInSlices(visit) {
        for (const key of [...byKey.keys()].sort()) {
          for (const route of byKey.get(key) ?? []) if (passes(route, scope)) visit(route);
          await Promise.resolve();
        }
      },
      commit(operations) {
        commits.push(operations);
        const failure = failures.shift();
        const done = failure ? operations.slice(0, operations.length / 2) : operations;
        const refused = done.flatMap((operation) => {
          const { verb, object } = operation;
          const refusal = verb === 'delete' ? remove(object, program) : put(verb, object, program);
          return refusal ? [{ operation, ...refusal }] : [];
        });
        if (failure) throw failure;
        return refused;
      },
      watch(onChanges, onLost) {
        program.onChanges = (changes) => {
          const passing = changes.filter(({ object }) => passes(object, scope));
          if (passing.length > 0) onChanges(passing);
        };
        program.onLost = onLost;
        programs.add(program);
        return { close: () => programs.delete(program) };
      },
      close: () => undefined,
    };
  }

  return {
    open,
    get routes() {
      return [...byKey.values()].flat();
    },
    append: (route) => {
      if (put('append', route, undefined)) throw new RangeError('the kernel refuses to append this route');
    },
    commits,
    deliver,
    loseChanges() {
      for (const program of programs) {
        program.waiting = [];
        program.onLost();
      }
    },
    failures,
  };
}
