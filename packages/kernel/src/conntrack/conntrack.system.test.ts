import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { inNamespace } from '../netlink/namespace.ts';
import { NetlinkError } from '../netlink/socket.ts';
import { openConntrack } from './netlink.ts';
import { type ConntrackWorld, conntrackContract } from './testing/contract.ts';
import { trackFlows, udpFlow } from './testing/flows.ts';

let worlds = 0;

/** Each world is a namespace of its own. */
function openWorld(): ConntrackWorld {
  const namespace = `conntrack-${process.pid}-${worlds++}`;
  execFileSync('ip', ['netns', 'add', namespace]);
  return {
    open: () => inNamespace(namespace, openConntrack),
    track: (flows) => inNamespace(namespace, () => trackFlows(flows)),
    close: () => execFileSync('ip', ['netns', 'del', namespace]),
  };
}

conntrackContract(openWorld);

let world: ConntrackWorld;
beforeAll(() => {
  world = openWorld();
});
afterAll(() => world.close());

test('while many flows are read, the rest of the program runs, and the right flows are deleted', async () => {
  const many = Array.from({ length: 20_000 }, (_, count) => udpFlow(`10.66.${count >> 8}.${count & 255}`, '192.0.2.7'));
  world.track([...many, ...Array.from({ length: 1200 }, (_, count) => udpFlow('10.65.0.4', '192.0.2.7', [1000 + count, 53]))]);
  const conntrack = world.open();
  let turns = 0;
  let done = false;
  const count = (): void => {
    turns++;
    if (!done) setImmediate(count);
  };
  count();
  expect(await conntrack.deleteByAddress(['10.65.0.4'])).toEqual({ deleted: 1200, seen: 21_200 });
  done = true;
  expect(turns).toBeGreaterThan(20);
  expect(conntrack.count()).toBe(20_000);
  conntrack.close();
});

test('a pass whose conntrack is closed rejects', async () => {
  const conntrack = world.open();
  const pass = conntrack.deleteByAddress(['10.65.0.9']);
  setImmediate(() => conntrack.close());
  await expect(pass).rejects.toThrow(NetlinkError);
  await expect(conntrack.flows()).rejects.toThrow('closed');
});
