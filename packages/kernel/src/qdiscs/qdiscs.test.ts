import { expect, test } from 'vitest';
import { fakeLinks } from '../links/fake.ts';
import { fakeQdiscs } from './fake.ts';
import { bucketHandle } from './qdisc.ts';
import { createShaper } from './shaper.ts';
import { qdiscsContract } from './testing/contract.ts';

function openFake(kinds?: readonly string[]) {
  const links = fakeLinks(kinds && { kinds });
  for (const name of ['tap1', 'tap2']) links.kernel.add(name, { up: true });
  links.refresh();
  return { links, qdiscs: fakeQdiscs(links.kernel) };
}

qdiscsContract(() => {
  const { links, qdiscs } = openFake();
  return { links, open: qdiscs.open, close: () => links.close() };
});

const bucket = { rateBytesPerSecond: 125_000, burstBytes: 100_000, queueBytes: 131_072 };

test('another program’s qdisc at the root stays, and the limit is refused; its filters stay too', () => {
  const { links, qdiscs } = openFake();
  const shaper = createShaper(qdiscs.open(), links, { isOurIfb: (name) => name.startsWith('bw') });
  const tap = links.link('tap1')!;
  const police = { kind: 'u32', priority: 49152, protocol: 3, handle: 0x80000800 };
  qdiscs.occupy(tap.index, { root: { kind: 'htb', handle: 0x10000 }, ingress: 'ingress', filters: [police] });
  expect(shaper.shape(tap, { toLink: bucket })?.code).toBe('OCCUPIED');
  expect(shaper.shape(tap, { fromLink: { bucket, through: 'bw1' } })).toBeUndefined();
  expect(shaper.shape(tap, {})).toBeUndefined();
  expect(qdiscs.open().read(tap.index)).toEqual({ root: { kind: 'htb', handle: 0x10000 }, ingress: 'ingress', filters: [police] });
});

test('the limit of a program that this one succeeds gives way to its own, and goes with it', () => {
  const { links, qdiscs } = openFake();
  const shaper = createShaper(qdiscs.open(), links, { isOurIfb: () => true, succeeds: ({ handle }) => handle === 0x10000 });
  const tap = links.link('tap1')!;
  const occupy = () => qdiscs.occupy(tap.index, { root: { kind: 'tbf', handle: 0x10000 } });
  occupy();
  expect(shaper.shape(tap, { toLink: bucket })).toBeUndefined();
  expect(qdiscs.open().read(tap.index).root?.handle).toBe(bucketHandle);
  shaper.shape(tap, {});
  occupy();
  shaper.shape(tap, {});
  expect(qdiscs.open().read(tap.index)).toEqual({ filters: [] });
});

test('a kernel without ifb refuses the limit from the link alone, and says what is missing', () => {
  const { links, qdiscs } = openFake([]);
  const shaper = createShaper(qdiscs.open(), links, { isOurIfb: () => true });
  expect(shaper.shape(links.link('tap1')!, { toLink: bucket, fromLink: { bucket, through: 'bw1' } })?.detail).toContain('module ifb');
  expect(qdiscs.open().read(links.link('tap1')!.index).root?.kind).toBe('tbf');
});
