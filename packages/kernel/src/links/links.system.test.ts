import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { inNamespace } from '../netlink/namespace.ts';
import { openLinks } from './netlink.ts';
import { linksContract, nextChange } from './testing/contract.ts';

const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
let worlds = 0;

/** A namespace of its own for each. */
function openWorld(): { readonly namespace: string; readonly links: ReturnType<typeof openLinks>; close(): void } {
  const namespace = `links-${process.pid}-${worlds++}`;
  ip('netns', 'add', namespace);
  const links = inNamespace(namespace, () => openLinks());
  return {
    namespace,
    links,
    close() {
      links.close();
      ip('netns', 'del', namespace);
    },
  };
}

linksContract(openWorld);

let world: ReturnType<typeof openWorld>;
beforeAll(() => {
  world = openWorld();
});
afterAll(() => world.close());

test('a link that joins a bridge and leaves it is here all the time, and its master is told', async () => {
  const { links, namespace } = world;
  ip('-n', namespace, 'link', 'add', 'br0', 'type', 'bridge');
  ip('-n', namespace, 'link', 'add', 'port0', 'type', 'veth', 'peer', 'name', 'port1');
  ip('-n', namespace, 'link', 'set', 'port0', 'master', 'br0');
  if (links.link('port0')?.masterIndex === undefined) await nextChange(links, () => links.link('port0')?.masterIndex !== undefined);
  const { index, epoch } = links.link('port0') ?? {};
  expect(links.link('port0')).toMatchObject({ kind: 'veth', masterIndex: links.link('br0')?.index });
  ip('-n', namespace, 'link', 'set', 'port0', 'nomaster');
  if (links.link('port0')?.masterIndex !== undefined) await nextChange(links, () => links.link('port0')?.masterIndex === undefined);
  expect(links.link('port0')).toMatchObject({ index, epoch, masterIndex: undefined });
});

test('up without a carrier is not running', async () => {
  const { links, namespace } = world;
  ip('-n', namespace, 'link', 'add', 'half0', 'type', 'veth', 'peer', 'name', 'half1');
  ip('-n', namespace, 'link', 'set', 'half0', 'up');
  if (!links.link('half0')?.up) await nextChange(links, () => links.link('half0')?.up === true);
  expect(links.link('half0')).toMatchObject({ up: true, running: false });
  ip('-n', namespace, 'link', 'set', 'half1', 'up');
  if (!links.link('half0')?.running) await nextChange(links, () => links.link('half0')?.running === true);
});

test('a tap that nothing has open is up, and does not run', async () => {
  const { links, namespace } = world;
  execFileSync('ip', ['-n', namespace, '-batch', '-'], { input: 'tuntap add tap0 mode tap\nlink set tap0 up\n' });
  if (!links.link('tap0')?.up) await nextChange(links, () => links.link('tap0')?.up === true);
  expect(links.link('tap0')).toMatchObject({ kind: 'tun', up: true, running: false });
});

test('an index that is used again for the same name is another link', async () => {
  const { links, namespace } = world;
  ip('-n', namespace, 'link', 'add', 'same0', 'index', '4711', 'type', 'ifb');
  if (!links.link('same0')) await nextChange(links, () => links.link('same0') !== undefined);
  const { epoch } = links.link('same0') ?? {};
  execFileSync('ip', ['-n', namespace, '-batch', '-'], { input: 'link del same0\nlink add same0 index 4711 type ifb\n' });
  if (links.link('same0')?.epoch === epoch) await nextChange(links, () => links.link('same0') !== undefined && links.link('same0')?.epoch !== epoch);
  expect(links.link('same0')?.index).toBe(4711);
});

test('an address that is being tested for duplicates is tentative until the test has ended', async () => {
  const { links, namespace } = world;
  ip('-n', namespace, 'link', 'add', 'dad0', 'type', 'veth', 'peer', 'name', 'dad1');
  ip('-n', namespace, 'link', 'set', 'dad0', 'up');
  const tentative = (): boolean | undefined => links.addresses('dad0').find(({ address }) => address === '2001:db8::5')?.tentative;
  if (!links.link('dad0')?.up) await nextChange(links, () => links.link('dad0')?.up === true);
  // Without a carrier the test does not begin, so that it cannot have ended before its beginning is read here.
  links.addAddress('dad0', '2001:db8::5', 64);
  await nextChange(links, () => tentative() === true);
  links.setLink('dad1', { up: true });
  await nextChange(links, () => tentative() === false);
  expect(links.link('dad0')?.running).toBe(true);
});

test('events that the kernel had to drop do not hide what became of the links', async () => {
  const { links } = world;
  links.createLink('flood0', 'ifb');
  links.createLink('going0', 'ifb');
  await nextChange(links, () => links.link('going0') !== undefined);
  const { epoch } = links.link('flood0') ?? {};
  // In one stretch, so that nothing is read meanwhile: more than the receive buffer holds.
  for (let count = 0; count < 60_000; count++) links.setLink('flood0', { mtuBytes: 1400 + (count % 2) });
  links.removeLink('going0');
  links.createLink('coming0', 'ifb');
  await nextChange(links, () => links.link('coming0') !== undefined);
  expect(links.link('going0')).toBeUndefined();
  expect(links.link('lo')?.epoch).toBeGreaterThan(epoch ?? 0); // everything is in doubt, so events were lost indeed
  expect(links.link('flood0')?.mtuBytes).toBe(1401);
});
