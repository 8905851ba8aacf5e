import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fakeLinks } from './fake.ts';
import type { Link } from './link.ts';
import { createLinkTable } from './table.ts';

const names = ['tap1', 'tap2', 'tap3'] as const;
const name = fc.constantFrom(...names);
/** What others do to the kernel's links, and when this process gets its turn. */
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('make' as const), name, index: fc.option(fc.integer({ min: 2, max: 6 })) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('remove' as const), name }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('rename' as const), name, to: name }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('switch' as const), name, up: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('address' as const), name, last: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('deliver' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('refresh' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('lose' as const) }) },
);

test('whatever happens and in whatever pieces it is told, a watcher who looks only at what changed knows the links as they are, and which may have lost what hung on them', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const links = fakeLinks({ deliverBy: 'hand' });
      const { kernel } = links;
      const mirror = new Map<string, { readonly link: Link; readonly addresses: readonly string[] }>();
      const textsOf = (of: string): string[] => links.addresses(of).map(({ address, prefixLength }) => `${address}/${prefixLength}`);
      const look = (at: string): void => {
        const link = links.link(at);
        if (link) mirror.set(at, { link, addresses: textsOf(at) });
        else mirror.delete(at);
      };
      for (const at of links.links.keys()) look(at);
      /** Index of links that dropped something since the watcher last knew everything, with the epoch that it knew. */
      const lost = new Map<number, number | undefined>();
      kernel.dropped.add((index) => {
        const known = [...mirror.values()].find(({ link }) => link.index === index);
        if (!lost.has(index)) lost.set(index, known?.link.epoch);
      });
      links.watch(({ links: changed, addresses }) => {
        for (const at of [...changed, ...addresses]) look(at);
      });
      const find = (wanted: string): number | undefined => [...kernel.links.values()].find((link) => link.name === wanted)?.index;

      const settle = (): void => {
        kernel.deliver();
        expect(
          new Map(
            [...mirror].map(
              ([
                at,
                {
                  link: { epoch: _, ...facts },
                },
              ]) => [at, facts],
            ),
          ),
        ).toEqual(new Map([...kernel.links.values()].map((facts) => [facts.name, facts])));
        for (const [at, known] of mirror) expect([...known.addresses].sort()).toEqual(textsOf(at).sort());
        for (const { link } of mirror.values()) if (lost.has(link.index)) expect(link.epoch).not.toBe(lost.get(link.index));
        lost.clear();
      };

      for (const now of steps) {
        switch (now.do) {
          case 'make':
            if (find(now.name) === undefined && !(now.index !== null && kernel.links.has(now.index)))
              kernel.add(now.name, now.index === null ? {} : { index: now.index });
            break;
          case 'remove':
            kernel.remove(find(now.name) ?? kernel.add(now.name));
            break;
          case 'rename':
            links.setLink(now.name, { name: now.to });
            break;
          case 'switch':
            links.setLink(now.name, { up: now.up });
            break;
          case 'address':
            if (links.addAddress(now.name, `10.65.0.${now.last}`, 32)) links.removeAddress(now.name, `10.65.0.${now.last}`, 32);
            break;
          case 'deliver':
            settle();
            break;
          case 'refresh':
            links.refresh();
            break;
          case 'lose':
            kernel.loseEvents();
            break;
        }
      }
      settle();
    }),
    { numRuns: 500 },
  );
});

test('an event that changes nothing about a link is not told', () => {
  const links = fakeLinks({ deliverBy: 'hand' });
  const index = links.kernel.add('tap1');
  links.kernel.deliver();
  let told = 0;
  links.watch(() => told++);
  links.kernel.change(index, {});
  links.kernel.deliver();
  expect(told).toBe(0);
});

test('an address that is told before its link is there with it', () => {
  const table = createLinkTable();
  const address = { family: 4, address: '10.65.0.1', prefixLength: 32, scope: 0, tentative: false, noPrefixRoute: false } as const;
  expect(table.apply([{ event: 'address', index: 7, address }])).toEqual({ links: new Set(), addresses: new Set(), lostIpv4: new Set() });
  const link = { name: 'tap1', index: 7, up: false, running: false, mac: undefined, mtuBytes: 1500, kind: undefined, masterIndex: undefined };
  expect(table.apply([{ event: 'link', link }])).toEqual({ links: new Set(['tap1']), addresses: new Set(['tap1']), lostIpv4: new Set() });
  expect(table.addresses('tap1')).toEqual([address]);
});

test('a name that two links claim for a moment is the later one’s, and the other’s when that goes', () => {
  const table = createLinkTable();
  const tap = (index: number) => ({ name: 'tap1', index, up: false, running: false, mac: undefined, mtuBytes: 1500, kind: undefined, masterIndex: undefined });
  table.replace({ links: [tap(5)], addresses: [] }, false);
  table.apply([{ event: 'link', link: tap(3) }]); // from before the reading
  expect(table.links.get('tap1')?.index).toBe(3);
  expect(table.apply([{ event: 'gone', index: 3 }]).links).toEqual(new Set(['tap1']));
  expect(table.links.get('tap1')?.index).toBe(5);
});

test('an address that came and went between two looks is told, and a lost IPv4 address also when it is there again', () => {
  const table = createLinkTable();
  const link = { name: 'tap1', index: 7, up: false, running: false, mac: undefined, mtuBytes: 1500, kind: undefined, masterIndex: undefined };
  const address = (family: 4 | 6, text: string) => ({ family, address: text, prefixLength: 32, scope: 0, tentative: false, noPrefixRoute: false }) as const;
  const [v4, v6] = [address(4, '10.65.0.1'), address(6, 'fe80::1')];
  table.replace({ links: [link], addresses: [{ index: 7, address: v4 }] }, false);
  expect(
    table.apply([
      { event: 'address', index: 7, address: v6 },
      { event: 'address-gone', index: 7, address: v6 },
    ]),
  ).toEqual({ links: new Set(), addresses: new Set(['tap1']), lostIpv4: new Set() });
  expect(
    table.apply([
      { event: 'address-gone', index: 7, address: v4 },
      { event: 'address', index: 7, address: v4 },
    ]),
  ).toEqual({ links: new Set(), addresses: new Set(['tap1']), lostIpv4: new Set(['tap1']) });
});
