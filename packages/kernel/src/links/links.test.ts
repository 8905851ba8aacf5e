import { expect, test } from 'vitest';
import { fakeLinks } from './fake.ts';
import { isInterfaceName, type LinkChange } from './link.ts';
import { linksContract, nextChange } from './testing/contract.ts';

linksContract(() => {
  const links = fakeLinks();
  return { links, close: () => links.close() };
});

test('a kind of link that the kernel lacks is refused', () => {
  expect(fakeLinks({ kinds: ['ifb'] }).createLink('ns-1', 'dummy')?.code).toBe('EOPNOTSUPP');
});

test('after lost events everything is read again: what differs is told, and every link has a new epoch', async () => {
  const links = fakeLinks({ deliverBy: 'hand' });
  const [kept, gone] = [links.kernel.add('tap1'), links.kernel.add('tap2')];
  links.kernel.deliver();
  const epoch = links.link('tap1')?.epoch;
  links.kernel.remove(gone);
  links.kernel.add('tap3');
  const change = nextChange(links, () => true);
  links.kernel.loseEvents();
  expect((await change).links).toEqual(new Set(['lo', 'tap1', 'tap2', 'tap3']));
  expect([...links.links.keys()].sort()).toEqual(['lo', 'tap1', 'tap3']);
  expect(links.link('tap1')?.index).toBe(kept);
  expect(links.link('tap1')?.epoch).not.toBe(epoch);
});

test('a reading that was interrupted is tried again, and what came meanwhile is kept', async () => {
  const links = fakeLinks({ deliverBy: 'hand' });
  links.kernel.failures.push(new Error('interrupted'), new Error('interrupted'));
  links.kernel.add('tap1');
  const change = nextChange(links, ({ links: names }) => names.has('tap1'));
  links.kernel.loseEvents();
  expect(links.link('tap1')).toBeUndefined();
  await change;
  expect(links.link('tap1')?.name).toBe('tap1');
  expect(links.kernel.failures).toEqual([]);
});

test('a reading that fails for good is not passed over', () => {
  const links = fakeLinks({ deliverBy: 'hand' });
  links.kernel.failures.push(new Error('not permitted'));
  expect(() => links.kernel.loseEvents()).toThrow('not permitted');
});

test('events older than the reading lead to what was read', () => {
  const links = fakeLinks({ deliverBy: 'hand' });
  const old = links.kernel.add('tap1');
  links.kernel.remove(old);
  const now = links.kernel.add('tap1');
  links.refresh(); // knows of the second already
  expect(links.link('tap1')?.index).toBe(now);
  const told: LinkChange[] = [];
  links.watch((change) => told.push(change));
  links.kernel.deliver();
  expect(links.link('tap1')?.index).toBe(now);
  expect(told).toEqual([]);
});

test.each(['tap0', 'ns-f00f00f00f0', 'eth0.100', '...', 'tap-ü'])('%j can be an interface', (name) => {
  expect(isInterfaceName(name)).toBe(true);
});

test.each(['', '.', '..', 'a/b', '../x', 'a b', 'a\tb', 'a:1', 'a\0b', 'tap%d', '0123456789abcdef', 'üüüüüüüü'])('%j cannot be an interface', (name) => {
  expect(isInterfaceName(name)).toBe(false);
});
