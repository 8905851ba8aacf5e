// What every table of qdiscs promises, and what the shaper makes of it: run on the fake and on the kernel.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { LinkEditor, Links } from '../../links/link.ts';
import { bucketHandle, holds, type QdiscTable, redirectPriority, type TokenBucket } from '../qdisc.ts';
import { createShaper, type Shaper } from '../shaper.ts';

/** A namespace, or its fake, with the links tap1 and tap2, up. */
export type QdiscsWorld = {
  readonly links: Links & LinkEditor;
  open(): QdiscTable;
  close(): void;
};

const bucket: TokenBucket = { rateBytesPerSecond: 125_000, burstBytes: 100_000, queueBytes: 131_072 };
const other: TokenBucket = { rateBytesPerSecond: 5_000_000_000, burstBytes: 4_294_967_295, queueBytes: 1_000_000 };
const peaked: TokenBucket = { ...bucket, peak: { rateBytesPerSecond: 250_000, burstBytes: 2000 } };
const isOurIfb = (name: string): boolean => name.startsWith('bw');

export function qdiscsContract(openWorld: () => QdiscsWorld): void {
  describe('qdiscs', () => {
    let world: QdiscsWorld;
    let table: QdiscTable;
    let shaper: Shaper;
    const tap = (name = 'tap1') => world.links.link(name)!;
    const rootOf = (name: string) => table.read(world.links.indexOf(name)!).root;

    beforeAll(() => {
      world = openWorld();
      table = world.open();
      shaper = createShaper(table, world.links, { isOurIfb });
    });
    beforeEach(() => {
      for (const name of ['tap1', 'tap2']) shaper.shape(tap(name), {});
      world.links.refresh();
    });
    afterAll(() => {
      shaper.close();
      world.close();
    });

    test.each([
      ['a rate', bucket],
      ['a rate and a burst beyond 32 bits', other],
      ['a peak rate', peaked],
    ])('%s is read back as it was written, and told from others', (_, wanted) => {
      expect(table.commit({ verb: 'create-root', index: tap().index, bucket: wanted })).toBeUndefined();
      const held = rootOf('tap1')?.bucket;
      expect(held && holds(held, wanted)).toBe(true);
      for (const change of [
        { rateBytesPerSecond: 126_000 },
        { burstBytes: 150_000 },
        { queueBytes: 1_000_001 },
        { peak: { rateBytesPerSecond: 6e9, burstBytes: 3000 } },
      ])
        expect(held && holds(held, { ...wanted, ...change }), JSON.stringify(change)).toBe(false);
    });

    test('a root qdisc is created where none is, changed where it is, and deleted once', () => {
      const { index } = tap();
      expect(table.commit({ verb: 'change-root', index, bucket })?.errno).toBe('ENOENT');
      expect(table.commit({ verb: 'create-root', index, bucket })).toBeUndefined();
      expect(table.commit({ verb: 'create-root', index, bucket })?.errno).toBe('EEXIST');
      expect(table.commit({ verb: 'change-root', index, bucket: peaked })).toBeUndefined();
      expect(table.links()).toEqual(new Set([index]));
      expect(table.commit({ verb: 'delete-root', index, handle: bucketHandle })).toBeUndefined();
      expect(table.commit({ verb: 'delete-root', index, handle: bucketHandle })?.errno).toBe('EINVAL');
      expect(table.read(index)).toEqual({ filters: [] });
    });

    test('what the kernel would refuse or misread is not sent', () => {
      const { index } = tap();
      const wrong: readonly Partial<TokenBucket>[] = [
        { rateBytesPerSecond: 0 },
        { rateBytesPerSecond: Number.NaN },
        { burstBytes: 2 ** 32 },
        { queueBytes: -1 },
        { peak: { rateBytesPerSecond: 125_000, burstBytes: 2000 } },
      ];
      for (const change of wrong) expect(() => table.commit({ verb: 'create-root', index, bucket: { ...bucket, ...change } })).toThrow(RangeError);
    });

    test('a link that does not exist has nothing and takes nothing', () => {
      expect(table.read(9999)).toEqual({ filters: [] });
      expect(table.commit({ verb: 'create-root', index: 9999, bucket })?.errno).toBe('ENODEV');
    });

    test('a filter needs an ingress qdisc and a link to redirect to; it goes with its handle', () => {
      const { index } = tap();
      const to = tap('tap2').index;
      expect(table.commit({ verb: 'create-redirect', index, to })?.errno).toBe('EINVAL');
      expect(table.commit({ verb: 'create-ingress', index })).toBeUndefined();
      expect(table.commit({ verb: 'create-ingress', index })?.errno).toBe('EEXIST');
      expect(table.commit({ verb: 'create-redirect', index, to: 9999 })?.errno).toBe('ENODEV');
      expect(table.commit({ verb: 'create-redirect', index, to })).toBeUndefined();
      const { ingress, filters } = table.read(index);
      expect([ingress, filters]).toMatchObject(['ingress', [{ kind: 'u32', priority: redirectPriority, redirectsTo: to }]]);
      expect(table.commit({ verb: 'delete-filter', index, filter: filters[0]! })).toBeUndefined();
      expect(table.read(index).filters).toEqual([]);
      expect(table.commit({ verb: 'delete-ingress', index })).toBeUndefined();
      expect(table.commit({ verb: 'delete-ingress', index })?.errno).toBe('EINVAL');
    });

    test('a program hears what others changed, and not what it did itself', async () => {
      const mine = world.open();
      const heard: number[] = [];
      const watching = mine.watch(
        (indexes) => heard.push(...indexes),
        () => undefined,
      );
      mine.commit({ verb: 'create-root', index: tap('tap2').index, bucket });
      mine.read(tap('tap2').index);
      table.commit({ verb: 'create-root', index: tap().index, bucket });
      await expect.poll(() => heard.length, { timeout: 60_000 }).toBeGreaterThan(0);
      expect(new Set(heard)).toEqual(new Set([tap().index]));
      watching.close();
      mine.close();
    });

    test('limits come both ways, change in place, are left alone when they are right, and go without a trace', () => {
      const both = { toLink: bucket, fromLink: { bucket, through: 'bw1' } };
      expect(shaper.shape(tap(), both)).toBeUndefined();
      expect([rootOf('tap1')?.kind, rootOf('bw1')?.kind]).toEqual(['tbf', 'tbf']);
      const before = table.read(tap().index);
      expect(before.filters).toMatchObject([{ redirectsTo: world.links.indexOf('bw1') }]);
      expect(shaper.shape(tap(), both)).toBeUndefined();
      expect(table.read(tap().index)).toEqual(before);
      expect(shaper.shape(tap(), { toLink: other, fromLink: { bucket: other, through: 'bw1' } })).toBeUndefined();
      for (const name of ['tap1', 'bw1']) expect(holds(rootOf(name)!.bucket!, other)).toBe(true);
      expect(table.read(tap().index).filters).toEqual(before.filters);
      expect(shaper.shape(tap(), { toLink: bucket })).toBeUndefined();
      expect([table.read(tap().index).filters, world.links.indexOf('bw1')]).toEqual([[], undefined]);
      expect(shaper.shape(tap(), {})).toBeUndefined();
      expect(table.read(tap().index)).toEqual({ filters: [] });
      expect(shaper.shaped()).toEqual(new Set());
    });

    test('packets are led to the right ifb again when it was removed, or the filter leads elsewhere', () => {
      const wanted = { fromLink: { bucket, through: 'bw1' } };
      shaper.shape(tap(), wanted);
      world.links.removeLink('bw1');
      expect(table.read(tap().index).filters).toMatchObject([{ redirectsTo: 0 }]);
      expect(shaper.shape(tap(), wanted)).toBeUndefined();
      expect(table.read(tap().index).filters).toMatchObject([{ redirectsTo: world.links.indexOf('bw1') }]);
      world.links.refresh();
      expect(shaper.shape(tap(), { fromLink: { bucket, through: 'bw2' } })).toBeUndefined(); // an earlier run called it otherwise
      expect(table.read(tap().index).filters).toMatchObject([{ redirectsTo: world.links.indexOf('bw2') }]);
      world.links.refresh();
      expect([...shaper.ifbs()].sort()).toEqual(['bw1', 'bw2']);
      for (const name of shaper.ifbs()) shaper.removeIfb(name);
      shaper.shape(tap(), {});
      expect(table.read(tap().index)).toEqual({ filters: [] });
    });

    test('a packet of the link’s size fits into every bucket', () => {
      const tiny = { rateBytesPerSecond: 125, burstBytes: 1, queueBytes: 131_072 };
      expect(shaper.shape(tap(), { toLink: tiny })).toBeUndefined();
      expect(holds(rootOf('tap1')!.bucket!, { ...tiny, burstBytes: tap().mtuBytes + 18 })).toBe(true);
    });
  });
}
