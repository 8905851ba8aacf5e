// What every `Links` with its editor promises: the kernel's and the fake's.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Link, LinkChange, LinkEditor, Links } from '../link.ts';

export type LinksWorld = { readonly links: Links & LinkEditor; close(): void };

/** The next change that `wanted` takes. */
export function nextChange(links: Links, wanted: (change: LinkChange) => boolean): Promise<LinkChange> {
  return new Promise((resolve) => {
    const subscription = links.watch((change) => {
      if (!wanted(change)) return;
      subscription.close();
      resolve(change);
    });
  });
}

export function linksContract(open: () => LinksWorld): void {
  describe('links', () => {
    let world: LinksWorld;
    let links: LinksWorld['links'];
    beforeEach(() => {
      world = open();
      links = world.links;
    });
    afterEach(() => world.close());

    const linkNow = (name: string): Link => {
      const link = links.link(name);
      if (!link) throw new Error(`no link ${name}`);
      return link;
    };

    /** Does it and waits until the link is as wanted. */
    async function until(name: string, act: () => unknown, wanted: (link: Link | undefined) => boolean): Promise<LinkChange> {
      const seen = nextChange(links, (change) => change.links.has(name) && wanted(links.link(name)));
      expect(act()).toBeUndefined();
      return seen;
    }

    const create = async (name: string): Promise<Link> => {
      await until(
        name,
        () => links.createLink(name, 'ifb'),
        (link) => link !== undefined,
      );
      return linkNow(name);
    };

    test('what is there at the start is known', () => {
      expect(linkNow('lo')).toMatchObject({ name: 'lo', index: 1, kind: undefined, masterIndex: undefined });
      expect(links.nameOf(1)).toBe('lo');
      expect(links.link('absent0')).toBeUndefined();
      expect(links.addresses('absent0')).toEqual([]);
    });

    test('a new link is told, with all that it is', async () => {
      const link = await create('ns-1');
      expect(link).toMatchObject({ name: 'ns-1', up: false, running: false, kind: 'ifb', mtuBytes: 1500 });
      expect(link.mac).toMatch(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);
      expect(links.links.get('ns-1')).toEqual(link);
      expect(links.nameOf(link.index)).toBe('ns-1');
    });

    test('a link whose event has not come yet has its name already', async () => {
      const { index } = await create('ns-1');
      links.createLink('ns-2', 'ifb');
      expect(links.nameOf(index + 1)).toBe('ns-2');
      expect(links.nameOf(index + 2)).toBeUndefined();
    });

    test('up, MTU and down are told', async () => {
      await create('ns-1');
      await until(
        'ns-1',
        () => links.setLink('ns-1', { up: true, mtuBytes: 1400 }),
        (link) => link?.running === true,
      );
      expect(linkNow('ns-1')).toMatchObject({ up: true, running: true, mtuBytes: 1400 });
      await until(
        'ns-1',
        () => links.setLink('ns-1', { up: false }),
        (link) => link?.running === false,
      );
      expect(linkNow('ns-1')).toMatchObject({ up: false, mtuBytes: 1400 });
    });

    test('a renamed link is told by both names, and is the same link', async () => {
      const before = await create('ns-1');
      const change = await until(
        'ns-2',
        () => links.setLink('ns-1', { name: 'ns-2' }),
        (link) => link !== undefined,
      );
      expect(change.links).toEqual(new Set(['ns-1', 'ns-2']));
      expect(links.link('ns-1')).toBeUndefined();
      expect(linkNow('ns-2')).toEqual({ ...before, name: 'ns-2' });
    });

    test('a link deleted and made again under its name in one go is told once, with another index and epoch', async () => {
      const before = await create('ns-1');
      const change = await until(
        'ns-1',
        () => links.removeLink('ns-1') ?? links.createLink('ns-1', 'ifb'),
        () => true,
      );
      expect(change.links).toEqual(new Set(['ns-1']));
      expect(linkNow('ns-1').index).not.toBe(before.index);
      expect(linkNow('ns-1').epoch).not.toBe(before.epoch);
      expect(links.nameOf(before.index)).toBeUndefined();
    });

    test('a link that goes down and up in one go is told, by its epoch', async () => {
      await create('ns-1');
      await until(
        'ns-1',
        () => links.setLink('ns-1', { up: true }),
        (link) => link?.running === true,
      );
      const before = linkNow('ns-1');
      await until(
        'ns-1',
        () => links.setLink('ns-1', { up: false }) ?? links.setLink('ns-1', { up: true }),
        (link) => link?.running === true,
      );
      expect(linkNow('ns-1')).toEqual({ ...before, epoch: expect.any(Number) });
      expect(linkNow('ns-1').epoch).not.toBe(before.epoch);
    });

    test('a deleted link is gone', async () => {
      const { index } = await create('ns-1');
      await until(
        'ns-1',
        () => links.removeLink('ns-1'),
        (link) => link === undefined,
      );
      expect([...links.links.keys()]).not.toContain('ns-1');
      expect(links.nameOf(index)).toBeUndefined();
    });

    test('addresses of both families are told when they come and when they go', async () => {
      await create('ns-1');
      const up = nextChange(links, ({ links: names }) => names.has('ns-1') && links.link('ns-1')?.running === true);
      links.setLink('ns-1', { up: true });
      await up;
      const has = (address: string): boolean => links.addresses('ns-1').some((one) => one.address === address);
      const both = nextChange(links, () => has('10.65.0.1') && has('2001:db8::1'));
      expect(links.addAddress('ns-1', '10.65.0.1', 24, { noPrefixRoute: true })).toBeUndefined();
      expect(links.addAddress('ns-1', '2001:db8::1', 64, { noDad: true })).toBeUndefined();
      expect((await both).addresses).toContain('ns-1');
      expect(links.addresses('ns-1')).toContainEqual({ family: 4, address: '10.65.0.1', prefixLength: 24, scope: 0, tentative: false, noPrefixRoute: true });
      expect(links.addresses('ns-1')).toContainEqual({ family: 6, address: '2001:db8::1', prefixLength: 64, scope: 0, tentative: false, noPrefixRoute: false });
      const gone = nextChange(links, () => !has('10.65.0.1'));
      expect(links.removeAddress('ns-1', '10.65.0.1', 24)).toBeUndefined();
      const change = await gone;
      expect(change.addresses).toEqual(new Set(['ns-1']));
      expect(change.links).toEqual(new Set());
      expect(has('2001:db8::1')).toBe(true);
    });

    test('an IPv4 address keeps the scope that it was given', async () => {
      await create('ns-1');
      const there = nextChange(links, () => links.addresses('ns-1').length > 0);
      expect(links.addAddress('ns-1', '10.65.0.1', 32, { noPrefixRoute: true, scope: 253, protocol: 67 })).toBeUndefined();
      await there;
      expect(links.addresses('ns-1')).toEqual([
        { family: 4, address: '10.65.0.1', prefixLength: 32, scope: 253, tentative: false, noPrefixRoute: true, protocol: 67 },
      ]);
    });

    test('a link that goes down keeps its IPv4 addresses and loses its IPv6 ones', async () => {
      await create('ns-1');
      links.setLink('ns-1', { up: true });
      links.addAddress('ns-1', '10.65.0.1', 24);
      links.addAddress('ns-1', '2001:db8::1', 64, { noDad: true });
      const there = (): string[] => links.addresses('ns-1').map(({ address }) => address);
      await nextChange(links, () => there().includes('10.65.0.1') && there().includes('2001:db8::1'));
      links.setLink('ns-1', { up: false });
      await nextChange(links, () => !there().includes('2001:db8::1'));
      expect(there()).toEqual(['10.65.0.1']);
    });

    test('the addresses of a link that was deleted are gone with it', async () => {
      await create('ns-1');
      links.addAddress('ns-1', '10.65.0.1', 24);
      await nextChange(links, () => links.addresses('ns-1').length > 0);
      links.removeLink('ns-1');
      expect((await nextChange(links, () => links.link('ns-1') === undefined)).addresses).toEqual(new Set(['ns-1']));
      expect(links.addresses('ns-1')).toEqual([]);
    });

    test('what the kernel refuses comes back as a value', async () => {
      await create('ns-1');
      links.addAddress('ns-1', '10.65.0.1', 24);
      expect(links.createLink('ns-1', 'ifb')?.code).toBe('EEXIST');
      expect(links.createLink('a/b', 'ifb')?.code).toBe('EINVAL');
      expect(links.createLink('tap%d', 'ifb')?.code).toBe('EINVAL');
      expect(links.createLink('sixteen-letters-', 'ifb')?.code).toBe('EINVAL');
      expect(links.removeLink('absent0')?.code).toBe('ENODEV');
      expect(links.setLink('absent0', { up: true })?.code).toBe('ENODEV');
      expect(links.setLink('ns-1', { name: 'lo' })?.code).toBe('EEXIST');
      expect(links.setLink('ns-1', { name: '..' })?.code).toBe('EINVAL');
      expect(links.setLink('ns-1', { mac: 'fa:16:3e:00:00:01' })?.code).toBe('EOPNOTSUPP'); // ifb's is fixed
      expect(links.addAddress('ns-1', '10.65.0.1', 24)?.code).toBe('EEXIST');
      expect(links.addAddress('absent0', '10.65.0.1', 24)?.code).toBe('ENODEV');
      expect(links.removeAddress('ns-1', '10.65.0.1', 25)?.code).toBe('EADDRNOTAVAIL');
      expect(links.removeAddress('absent0', '10.65.0.1', 24)?.code).toBe('ENODEV');
    });

    test('a watcher that was closed is told nothing more', async () => {
      const told: LinkChange[] = [];
      links.watch((change) => told.push(change)).close();
      await create('ns-1');
      expect(told).toEqual([]);
    });

    test('reading again tells nothing when nothing is new', async () => {
      await create('ns-1');
      const told: LinkChange[] = [];
      links.watch((change) => told.push(change));
      links.refresh();
      expect(told).toEqual([]);
    });
  });
}
