import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fakeLinks } from '../links/fake.ts';
import { fakeNeighbours } from './fake.ts';
import { type KernelNeighbour, type Neighbour, neighbourKey, neighbourKind, printNeighbour } from './neighbour.ts';
import { createNeighbourProgrammer, ownsNeighbours } from './programmer.ts';

const owns = ownsNeighbours({ devicePrefixes: ['tap'] });

/** Links tap1, tap2 (ours by name) and eth0, up; events come when they are delivered. */
function openWorld() {
  const links = fakeLinks({ deliverBy: 'hand' });
  const neighbours = fakeNeighbours(links.kernel, { deliverBy: 'hand' });
  for (const name of ['tap1', 'tap2', 'eth0']) links.kernel.add(name, { up: true });
  links.kernel.deliver();
  const programmer = createNeighbourProgrammer({ table: neighbours.open(), devices: links, owns });
  links.watch(({ links: names }) => {
    for (const name of names) programmer.deviceChanged(name);
  });
  const another = neighbours.open();
  const index = (name: string): number => [...links.kernel.links.values()].find((link) => link.name === name)?.index ?? -1;
  return {
    links,
    neighbours,
    programmer,
    index,
    others: (verb: 'create' | 'delete', object: KernelNeighbour) => another.commit([{ verb, object }]),
    placed: (wanted: Neighbour) => neighbourKind.place(wanted, index(wanted.device)),
    deliver() {
      links.kernel.deliver();
      neighbours.deliver();
    },
  };
}

const web: Neighbour = { kind: 'permanent', device: 'tap1', address: '10.65.0.4', mac: 'fa:16:3e:00:00:01' };
const gateway: Neighbour = { kind: 'proxy', device: 'tap1', address: 'fe80::1' };

test('what is wanted comes, what is no longer wanted goes, and a restart touches nothing that is right', () => {
  const { neighbours, programmer, placed, others, links } = openWorld();
  others('create', placed({ ...web, address: '10.65.0.9' })); // of an earlier run
  programmer.set(web);
  programmer.set(gateway);
  expect(programmer.apply()).toEqual({ operations: 3, compared: true, refusals: [] });
  expect(neighbours.neighbours).toEqual([placed(web), placed(gateway)]);
  const again = createNeighbourProgrammer({ table: neighbours.open(), devices: links, owns });
  again.set(web);
  again.set(gateway);
  expect(again.apply()).toEqual({ operations: 0, compared: true, refusals: [] });
  programmer.remove(neighbourKey(web));
  programmer.apply();
  expect(neighbours.neighbours).toEqual([placed(gateway)]);
});

test('an entry that somebody replaces by a learned one is replaced again, and the kernel is not read for it', () => {
  const { neighbours, programmer, placed, others, deliver } = openWorld();
  programmer.set(web);
  programmer.apply();
  others('create', { kind: 'learned', deviceIndex: placed(web).deviceIndex, address: web.address, mac: 'fa:16:3e:00:00:02' });
  deliver();
  expect(programmer.dirty).toBe(true);
  expect(programmer.apply()).toEqual({ operations: 1, compared: false, refusals: [] });
  expect(neighbours.neighbours).toEqual([placed(web)]);
});

test('what is learned elsewhere is none of our business', () => {
  const { programmer, index, others, deliver, neighbours } = openWorld();
  programmer.apply();
  for (const device of ['tap1', 'eth0']) others('create', { kind: 'learned', deviceIndex: index(device), address: '10.65.0.7', mac: 'fa:16:3e:00:00:02' });
  others('create', { kind: 'permanent', deviceIndex: index('eth0'), address: '10.65.0.8', mac: 'fa:16:3e:00:00:02' });
  deliver();
  expect(programmer.dirty).toBe(false);
  programmer.distrust();
  expect(programmer.apply()).toEqual({ operations: 0, compared: true, refusals: [] });
  expect(neighbours.neighbours).toHaveLength(3);
});

test('a link that was down for a moment gets its entries and proxies back', () => {
  const { neighbours, programmer, placed, links, deliver } = openWorld();
  programmer.set(web);
  programmer.set(gateway);
  programmer.apply();
  links.setLink('tap1', { up: false });
  links.setLink('tap1', { up: true });
  expect(neighbours.neighbours).toEqual([]);
  deliver();
  expect(programmer.apply()).toEqual({ operations: 2, compared: false, refusals: [] });
  expect(neighbours.neighbours).toEqual([placed(web), placed(gateway)]);
});

test('a proxy that somebody removed is found by the next audit', async () => {
  const { neighbours, programmer, placed, others, deliver } = openWorld();
  programmer.set(gateway);
  programmer.apply();
  others('delete', placed(gateway));
  deliver();
  expect(programmer.dirty).toBe(false); // the kernel reports nothing
  await programmer.audit();
  expect(programmer.apply()).toEqual({ operations: 1, compared: false, refusals: [] });
  expect(neighbours.neighbours).toEqual([placed(gateway)]);
});

test('what does not name a neighbour is refused where it is said', () => {
  const { programmer } = openWorld();
  expect(() => programmer.set({ ...web, address: '10.65.0.4/32' })).toThrow(RangeError);
  expect(() => programmer.set({ ...web, mac: 'fa:16:3e' })).toThrow(RangeError);
});

const device = fc.constantFrom('tap1', 'tap2');
const address = fc.constantFrom('10.65.0.4', '2001:db8::4');
const mac = fc.constantFrom('fa:16:3e:00:00:01', 'fa:16:3e:00:00:02');
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('want' as const), kind: fc.constantFrom('permanent' as const, 'proxy' as const), device, address, mac }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('unwant' as const), kind: fc.constantFrom('permanent' as const, 'proxy' as const), device, address }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('others' as const), kind: fc.constantFrom('permanent' as const, 'learned' as const), device, address, mac }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('take away' as const), device, address, mac }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('switch' as const), device, up: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remake' as const), device }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('swap names' as const, 'deliver links' as const, 'deliver' as const, 'lose' as const) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('apply' as const) }) },
);

test('whatever anybody does to links and entries, and whenever it is told: in the end the permanent ones are those that are wanted', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const { links, neighbours, programmer, index, others, deliver, placed } = openWorld();
      const wanted = new Map<string, Neighbour>();
      for (const now of steps) {
        switch (now.do) {
          case 'want': {
            const { do: _, kind, mac: at, ...where } = now;
            const want: Neighbour = kind === 'proxy' ? { kind, ...where } : { kind, ...where, mac: at };
            wanted.set(neighbourKey(want), want);
            programmer.set(want);
            break;
          }
          case 'unwant':
            wanted.delete(neighbourKey(now));
            programmer.remove(neighbourKey(now));
            break;
          case 'others':
            others('create', { kind: now.kind, deviceIndex: index(now.device), address: now.address, mac: now.mac });
            break;
          case 'take away':
            others('delete', { kind: 'permanent', deviceIndex: index(now.device), address: now.address });
            break;
          case 'switch':
            links.setLink(now.device, { up: now.up });
            break;
          case 'remake':
            links.kernel.remove(index(now.device));
            links.kernel.add(now.device, { up: true });
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
          case 'deliver':
            deliver();
            break;
          case 'lose':
            neighbours.loseChanges();
            break;
          case 'apply':
            programmer.apply();
            break;
        }
      }
      deliver();
      expect(programmer.apply().refusals).toEqual([]);
      const ours = (): string[] =>
        neighbours.neighbours
          .filter(({ kind }) => kind !== 'learned')
          .map(printNeighbour)
          .sort();
      expect(ours()).toEqual([...wanted.values()].map((want) => printNeighbour(placed(want))).sort());
      expect(programmer.apply()).toEqual({ operations: 0, compared: false, refusals: [] });
    }),
    { numRuns: 1000 },
  );
});
