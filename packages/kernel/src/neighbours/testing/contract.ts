// What every table of neighbours promises: the kernel's and the fake's.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { LinkEditor, Links } from '../../links/link.ts';
import type { Change } from '../../programmer/table.ts';
import { type KernelNeighbour, printNeighbour } from '../neighbour.ts';
import type { NeighbourTable } from '../netlink.ts';

/** `open` gives one more program's view of the same kernel's neighbours. `tap1` and `tap2` are there and up. */
export type NeighboursWorld = { readonly links: Links & LinkEditor; open(): NeighbourTable; close(): void };

const families = [
  { family: 4, web: '10.65.0.4', gateway: '10.65.0.1' },
  { family: 6, web: '2001:db8::4', gateway: 'fe80::1' },
] as const;
const [mac, otherMac] = ['fa:16:3e:00:00:01', 'fa:16:3e:00:00:02'];

export function neighboursContract(open: () => NeighboursWorld): void {
  describe.each(families)('IPv$family neighbours', ({ web, gateway }) => {
    let world: NeighboursWorld;
    let table: NeighbourTable;
    let tap1: number;
    let tap2: number;
    beforeEach(() => {
      world = open();
      table = world.open();
      tap1 = world.links.link('tap1')?.index ?? 0;
      tap2 = world.links.link('tap2')?.index ?? 0;
    });
    afterEach(() => {
      table.close();
      world.close();
    });

    const entry = (deviceIndex: number, change: Partial<KernelNeighbour & { kind: 'permanent' }> = {}): KernelNeighbour => ({
      kind: 'permanent',
      deviceIndex,
      address: web,
      mac,
      ...change,
    });
    const proxy = (deviceIndex: number): KernelNeighbour => ({ kind: 'proxy', deviceIndex, address: gateway });
    const create = (object: KernelNeighbour) => table.commit([{ verb: 'create', object }]);
    const remove = (object: KernelNeighbour) => table.commit([{ verb: 'delete', object }]);
    /** What is there for the addresses of this test; the kernel keeps entries of its own for multicast. */
    const there = (): KernelNeighbour[] => table.read().filter(({ address }) => address === web || address === gateway);

    test('a permanent entry and a proxy are read as they were given', () => {
      expect(create(entry(tap1))).toEqual([]);
      expect(create(proxy(tap1))).toEqual([]);
      expect(there()).toEqual([entry(tap1), proxy(tap1)]);
    });

    test('an entry takes the place of what is there for its address, on its link only', () => {
      create(entry(tap1, { mac: otherMac }));
      create(entry(tap2, { mac: otherMac }));
      expect(create(entry(tap1))).toEqual([]);
      expect(there()).toContainEqual(entry(tap1));
      expect(there()).toContainEqual(entry(tap2, { mac: otherMac }));
      expect(there()).toHaveLength(2);
    });

    test('a proxy that is there already can be created', () => {
      create(proxy(tap1));
      expect(create(proxy(tap1))).toEqual([]);
      expect(there()).toEqual([proxy(tap1)]);
    });

    test('an address can have an entry and a proxy, and a deletion hits only the one', () => {
      const both = { kind: 'proxy', deviceIndex: tap1, address: web } as const;
      create(entry(tap1));
      create(both);
      expect(remove(entry(tap1))).toEqual([]);
      expect(there()).toEqual([both]);
      expect(remove(both)).toEqual([]);
      expect(there()).toEqual([]);
    });

    test('what is refused comes back, and the rest is done', () => {
      const operations = [
        { verb: 'delete', object: entry(tap1) },
        { verb: 'delete', object: proxy(tap1) },
        { verb: 'create', object: entry(2 ** 20) },
        { verb: 'create', object: entry(tap2) },
      ] as const;
      expect(table.commit(operations).map(({ operation, code }) => [operations.indexOf(operation as (typeof operations)[number]), code])).toEqual([
        [0, 'ABSENT'],
        [1, 'ABSENT'],
        [2, 'DEVICE_GONE'],
      ]);
      expect(there()).toEqual([entry(tap2)]);
    });

    test('a link that goes down loses them, and can be given them while it is down', () => {
      create(entry(tap1));
      create(proxy(tap1));
      world.links.setLink('tap1', { up: false });
      expect(there()).toEqual([]);
      create(entry(tap1));
      create(proxy(tap1));
      world.links.setLink('tap1', { up: true });
      expect(there()).toEqual([entry(tap1), proxy(tap1)]);
    });

    test('reading in slices reads the same', async () => {
      create(entry(tap1));
      create(proxy(tap2));
      const seen: KernelNeighbour[] = [];
      await table.readInSlices((object) => seen.push(object));
      const print = (list: readonly KernelNeighbour[]): string[] =>
        list
          .filter(({ kind }) => kind !== 'learned')
          .map(printNeighbour)
          .sort();
      expect(print(seen)).toEqual(print([entry(tap1), proxy(tap2)]));
    });

    test('what another program does to entries is told, what is done through this table is not', async () => {
      const another = world.open();
      const told = new Promise<readonly Change<KernelNeighbour>[]>((resolve) => {
        const seen: Change<KernelNeighbour>[] = [];
        table.watch(
          (changes) => {
            seen.push(...changes.filter(({ object }) => object.address === web));
            if (seen.some(({ is }) => is === 'absent')) resolve(seen);
          },
          () => resolve([]),
        );
      });
      create(entry(tap1));
      another.commit([{ verb: 'create', object: entry(tap1, { mac: otherMac }) }]);
      another.commit([{ verb: 'delete', object: entry(tap1) }]);
      expect((await told).map(({ is, object }) => [is, 'mac' in object ? object.mac : undefined])).toEqual([
        ['present', otherMac],
        ['present', undefined], // it fails first, then it goes
        ['absent', undefined],
      ]);
      another.close();
    });
  });
}
