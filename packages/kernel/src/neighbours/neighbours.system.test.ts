import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { openLinks } from '../links/netlink.ts';
import { inNamespace } from '../netlink/namespace.ts';
import { openNeighbours } from './netlink.ts';
import { createNeighbourProgrammer, ownsNeighbours } from './programmer.ts';
import { type NeighboursWorld, neighboursContract } from './testing/contract.ts';

let worlds = 0;
const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8' });

/** A namespace of its own for each, with two links that do neighbour discovery. */
function openWorld(): NeighboursWorld & { readonly namespace: string } {
  const namespace = `neigh-${process.pid}-${worlds++}`;
  ip('netns', 'add', namespace);
  const links = inNamespace(namespace, () => openLinks());
  for (const name of ['1', '2']) {
    ip('-n', namespace, 'link', 'add', `tap${name}`, 'type', 'veth', 'peer', 'name', `peer${name}`);
    for (const end of [`tap${name}`, `peer${name}`]) links.setLink(end, { up: true });
  }
  links.refresh();
  return {
    namespace,
    links,
    open: () => inNamespace(namespace, openNeighbours),
    close() {
      links.close();
      ip('netns', 'del', namespace);
    },
  };
}

neighboursContract(openWorld);

test('an entry that somebody replaces by one that ages, or removes, is permanent again', async () => {
  const world = openWorld();
  try {
    const { namespace, links } = world;
    let drifted = (): void => undefined;
    const programmer = createNeighbourProgrammer({
      table: world.open(),
      devices: links,
      owns: ownsNeighbours({ devicePrefixes: ['tap'] }),
      onDrift: () => drifted(),
    });
    programmer.set({ kind: 'permanent', device: 'tap1', address: '10.65.0.4', mac: 'fa:16:3e:00:00:01' });
    programmer.set({ kind: 'permanent', device: 'tap1', address: '2001:db8::4', mac: 'fa:16:3e:00:00:01' });
    programmer.set({ kind: 'proxy', device: 'tap1', address: 'fe80::1' });
    expect(programmer.apply().refusals).toEqual([]);
    const entries = (): string[] =>
      ip('-n', namespace, 'neigh', 'show', 'nud', 'permanent')
        .trim()
        .split('\n')
        .map((line) => line.trim());
    const expected = ['10.65.0.4 dev tap1 lladdr fa:16:3e:00:00:01 PERMANENT', '2001:db8::4 dev tap1 lladdr fa:16:3e:00:00:01 PERMANENT'];
    const permanent = (): string[] => [...new Set(entries())];
    expect(permanent()).toEqual(expected);
    const until = (act: () => unknown): Promise<void> =>
      new Promise((resolve, reject) => {
        drifted = () => {
          try {
            programmer.apply();
            if (JSON.stringify(permanent()) === JSON.stringify(expected)) resolve();
          } catch (error) {
            reject(error);
          }
        };
        act();
      });
    await until(() => ip('-n', namespace, 'neigh', 'replace', '10.65.0.4', 'lladdr', 'fa:16:3e:00:00:02', 'dev', 'tap1', 'nud', 'reachable'));
    await until(() => ip('-n', namespace, 'neigh', 'replace', '2001:db8::4', 'lladdr', 'fa:16:3e:00:00:01', 'dev', 'tap1', 'nud', 'stale'));
    await until(() => ip('-n', namespace, 'neigh', 'del', '10.65.0.4', 'dev', 'tap1'));
    await until(() => ip('-n', namespace, 'neigh', 'add', '10.65.0.5', 'lladdr', 'fa:16:3e:00:00:09', 'dev', 'tap2', 'nud', 'permanent'));
    expect(ip('-n', namespace, '-6', 'neigh', 'show', 'proxy').trim()).toBe('fe80::1 dev tap1 proxy');
    programmer.close();
  } finally {
    world.close();
  }
});
