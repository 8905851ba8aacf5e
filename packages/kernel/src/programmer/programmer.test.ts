// What the shell does with a table that behaves oddly. What it does with one that behaves is asked in routes/ and neighbours/.
import { expect, test } from 'vitest';
import { deviceRoute, type KernelRoute, type Route, routeKey, routeKind } from '../routes/route.ts';
import type { Operation } from './diff.ts';
import { programmer } from './programmer.ts';
import type { Refusal, RefusalCode } from './table.ts';

const wanted: Route = deviceRoute({ destination: '10.65.0.4/32', device: 'tap1', metric: 1024, protocol: 80 });
const devices = { link: (name: string) => (name === 'tap1' ? { index: 1, epoch: 1 } : undefined), nameOf: () => 'tap1' };

/** A table that holds this, whatever is committed, and refuses what is put with this code. */
function oddTable(holds: readonly KernelRoute[], refusesPuts?: RefusalCode) {
  let reads = 0;
  const commits: string[] = [];
  const routes = programmer({
    kind: routeKind,
    devices,
    owns: () => true,
    table: {
      read() {
        reads += 1;
        return holds;
      },
      readInSlices: async () => undefined,
      commit(operations: readonly Operation<KernelRoute>[]): readonly Refusal<KernelRoute>[] {
        commits.push(operations.map(({ verb }) => verb).join());
        return operations.flatMap((operation) => (refusesPuts && operation.verb !== 'delete' ? [{ operation, code: refusesPuts, errno: 'EODD' }] : []));
      },
      watch: () => ({ close: () => undefined }),
      close: () => undefined,
    },
  });
  routes.set(wanted);
  return { routes, reads: () => reads, commits };
}

test('what is said to be there and is not there when it is read is reported as refused, not looked for again and again', () => {
  const { routes, reads, commits } = oddTable([], 'EXISTS');
  expect(routes.apply().refusals).toEqual([{ key: routeKey(wanted), code: 'OCCUPIED', errno: 'EODD' }]);
  expect([reads(), commits]).toEqual([2, ['create', 'create']]);
  expect(routes.dirty).toBe(true);
});

test('where several stand in the place of what is wanted they are deleted, and it is created in the same apply', () => {
  const theirs = [3, 4].map((protocol) => routeKind.place({ ...wanted, protocol }, 1));
  const { routes, commits } = oddTable(theirs);
  expect(routes.apply()).toEqual({ operations: 3, compared: true, refusals: [] });
  expect(commits).toEqual(['delete,delete', 'create']);
});

test('what is refused for another reason than a link is tried with each apply, what waits for a link is not', () => {
  for (const [code, commitsLater] of [
    ['REFUSED', 1],
    ['DEVICE_DOWN', 0],
  ] as const) {
    const { routes, commits } = oddTable([], code);
    expect(routes.apply().refusals).toMatchObject([{ code }]);
    expect(routes.dirty).toBe(commitsLater > 0);
    const before = commits.length;
    expect(routes.apply().refusals).toMatchObject([{ code }]);
    expect(commits.length - before).toBe(commitsLater);
  }
});
