import { execFileSync } from 'node:child_process';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openLinks } from '../links/netlink.ts';
import { inNamespace } from '../netlink/namespace.ts';
import type { Programmer } from '../programmer/programmer.ts';
import { openRoutes } from './netlink.ts';
import { createRouteProgrammer, ownsRoutes } from './programmer.ts';
import { deviceRoute, type Route } from './route.ts';

const namespace = `routeprog-${process.pid}`;
const ip = (...args: readonly string[]): string => execFileSync('ip', ['-n', namespace, ...args], { encoding: 'utf8' });
/** Runs commands in one process, so that the reader of events sees them at once. */
const ipBatch = (lines: readonly string[]): unknown => execFileSync('ip', ['-n', namespace, '-batch', '-'], { input: `${lines.join('\n')}\n` });

let links: ReturnType<typeof openLinks>;
let programmer: Programmer<Route>;
let drifted: () => void;

function start(): void {
  const table = inNamespace(namespace, () => openRoutes());
  programmer = createRouteProgrammer({ table, devices: links, owns: ownsRoutes({ protocols: [80], devicePrefixes: ['tap'] }), onDrift: () => drifted() });
  links.watch(({ links: names }) => {
    for (const name of names) programmer.deviceChanged(name);
    drifted();
  });
}

beforeEach(() => {
  drifted = () => undefined;
  execFileSync('ip', ['netns', 'add', namespace]);
  links = inNamespace(namespace, () => openLinks());
  for (const name of ['tap1', 'tap2', 'eth0']) {
    links.createLink(name, 'ifb');
    links.setLink(name, { up: true });
  }
  links.refresh();
  start();
});
afterEach(() => {
  programmer.close();
  links.close();
  execFileSync('ip', ['netns', 'del', namespace]);
});

const web = (device: string, metric = 1024): Route => deviceRoute({ destination: '10.65.0.4/32', device, metric, protocol: 80 });
const web6 = (device: string): Route => deviceRoute({ destination: '2001:db8::4/128', device, metric: 1024, protocol: 80 });
const lines = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
const routes = (): string[] => [...lines(ip('route')), ...lines(ip('-6', 'route')).filter((line) => !line.startsWith('fe80::'))];
const both = (device: string): string[] => [
  `10.65.0.4 dev ${device} proto 80 scope link metric 1024`,
  `2001:db8::4 dev ${device} proto 80 metric 1024 pref medium`,
];

/** Calls apply after every change until the kernel's routes are these. */
function until(expected: readonly string[], act: () => unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    drifted = () => {
      try {
        programmer.apply();
        if (JSON.stringify(routes()) === JSON.stringify(expected)) resolve();
      } catch (error) {
        reject(error);
      }
    };
    act();
  });
}

function program(...wanted: readonly Route[]): void {
  for (const route of wanted) programmer.set(route);
  expect(programmer.apply().refusals).toEqual([]);
}

test('wanted routes of both families are in the kernel', () => {
  program(web('tap1'), web6('tap1'));
  expect(routes()).toEqual(both('tap1'));
});

test('a route that another program deletes is added again', async () => {
  program(web('tap1'), web6('tap1'));
  await until(both('tap1'), () => ipBatch(['route del 10.65.0.4/32', 'route del 2001:db8::4/128']));
});

test('a route on a device of ours that another program replaces is restored', async () => {
  program(web('tap1'), web6('tap1'));
  await until(both('tap1'), () => ipBatch(['route replace 10.65.0.4/32 dev tap2 metric 1024', 'route replace 2001:db8::4/128 dev tap2 metric 1024']));
});

test('a route that another program adds on a device of ours is deleted; routes elsewhere are not', async () => {
  program(web('tap1'), web6('tap1'));
  const theirs = '10.9.0.0/24 dev eth0 scope link';
  await until([theirs, ...both('tap1')], () =>
    ipBatch(['route add 10.9.0.0/24 dev eth0', 'route add 10.8.0.0/24 dev tap2', 'route append 10.65.0.4/32 dev tap2 metric 1024']),
  );
});

test('a link that was down for a moment gets its routes again', async () => {
  program(web('tap1'), web6('tap1'));
  await until(both('tap1'), () => ipBatch(['link set tap1 down', 'link set tap1 up']));
});

test('a link that was deleted and created again gets its routes', async () => {
  program(web('tap1'), web6('tap1'));
  await until(both('tap1'), () => ipBatch(['link del tap1', 'link add tap1 type ifb', 'link set tap1 up']));
});

test('an address that moves, or whose metric changes, has a route at every moment', async () => {
  program(web('tap1'));
  const watcher = inNamespace(namespace, () => openRoutes());
  const seen: string[] = [];
  const done = new Promise<void>((resolve) => {
    watcher.watch(
      (changes) => {
        seen.push(
          ...changes.filter(({ object }) => object.family === 4).map(({ is, object }) => `${is} ${links.nameOf(object.deviceIndex ?? 0)} ${object.metric}`),
        );
        if (seen.length === 3) resolve();
      },
      () => resolve(),
    );
  });
  program(web('tap2'));
  programmer.remove('4 254 10.65.0.4/32 1024');
  program(web('tap2', 512));
  await done;
  expect(seen).toEqual(['present tap2 1024', 'present tap2 512', 'absent tap2 1024']);
  watcher.close();
});

test('an error that a callback throws in an audit does not affect the next audit', async () => {
  program(web('tap1'), web6('tap1'));
  let fails = true;
  const failing = createRouteProgrammer({
    table: inNamespace(namespace, () => openRoutes()),
    devices: links,
    owns: (route) => {
      if (fails) throw new Error('cannot say whose it is');
      return route.protocol === 80;
    },
  });
  fails = false;
  failing.apply();
  program(web('tap1', 512));
  await vi.waitUntil(() => failing.dirty, { timeout: 60_000 }); // the notification of it asks `owns`, too
  fails = true;
  await expect(failing.audit()).rejects.toThrow('cannot say whose it is');
  fails = false;
  await failing.audit();
  expect(failing.dirty).toBe(true);
  expect(failing.apply()).toMatchObject({ compared: false });
  failing.close();
});

test('a second programmer, as after a restart, does not touch what is right', () => {
  program(web('tap1'), web6('tap1'));
  programmer.close();
  start();
  programmer.set(web('tap1'));
  programmer.set(web6('tap1'));
  expect(programmer.apply()).toEqual({ operations: 0, compared: true, refusals: [] });
});
