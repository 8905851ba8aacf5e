import { expect, test } from 'vitest';
import type { NftSet } from './objects.ts';
import { fakeTable } from './table.fake.ts';

const set: NftSet = { name: 'addresses', key: ['ipv4_addr'] };
const element = (last: number) => ({ key: new Uint8Array([10, 0, 0, last]) });

/** A table that wants one element; its kernel was never read. */
function world() {
  const { table, kernel } = fakeTable();
  table.setSet(set, [element(1)]);
  let reads = 0;
  const { read } = kernel;
  kernel.read = () => {
    reads += 1;
    return read();
  };
  return {
    table,
    kernel,
    reads: () => reads,
    held: () =>
      kernel
        .content()
        .sets.get(set.name)
        ?.elements.map(({ key }) => ({ key })),
  };
}

test('when somebody else commits between the reading and the first transaction, the table is read again and then committed', () => {
  const { table, kernel, reads, held } = world();
  kernel.beforeNext(() => kernel.commit([{ verb: 'add table' }, { verb: 'add set', set: { ...set, name: 'strange' } }]));
  expect(table.apply()).toMatchObject({ resynced: true });
  expect([reads(), held(), kernel.content().sets.has('strange')]).toEqual([2, [element(1)], false]);
});

test('when somebody else commits again and again, the table is committed all the same after a few readings', () => {
  const { table, kernel, reads, held } = world();
  let strangers = 0;
  const interfere = (): void => {
    strangers += 1;
    kernel.commit([{ verb: 'add table' }]);
    kernel.beforeNext(interfere);
  };
  kernel.beforeNext(interfere);
  table.apply();
  expect([reads(), strangers, held()]).toEqual([4, 4, [element(1)]]);
});

test('a transaction that is refused is thrown, and the next apply reads the kernel before it commits', () => {
  const { table, kernel, reads, held } = world();
  kernel.refuseAll('ENOMEM');
  expect(() => table.apply()).toThrow('ENOMEM');
  expect([table.dirty, held()]).toEqual([true, undefined]);
  kernel.refuseAll();
  const before = reads();
  expect(table.apply()).toMatchObject({ resynced: true });
  expect([reads() - before, held(), table.dirty]).toEqual([1, [element(1)], false]);
  table.addElements(set.name, [element(2)]);
  expect(table.apply()).toMatchObject({ operations: 1, resynced: false });
  expect(reads() - before).toBe(1);
});
