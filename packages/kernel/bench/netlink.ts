// Measures the cost of routes, neighbours, link events and flows through these drivers, in a network namespace of its own. As root: node packages/kernel/bench/netlink.ts
import { execFileSync } from 'node:child_process';
import { openConntrack } from '../src/conntrack/netlink.ts';
import { trackFlows, udpFlow } from '../src/conntrack/testing/flows.ts';
import { openLinks } from '../src/links/netlink.ts';
import { type Neighbour, neighbourKey } from '../src/neighbours/neighbour.ts';
import { openNeighbours } from '../src/neighbours/netlink.ts';
import { createNeighbourProgrammer, ownsNeighbours } from '../src/neighbours/programmer.ts';
import { inNamespace } from '../src/netlink/namespace.ts';
import type { Programmer } from '../src/programmer/programmer.ts';
import { openRoutes } from '../src/routes/netlink.ts';
import { createRouteProgrammer, ownsRoutes } from '../src/routes/programmer.ts';
import { deviceRoute, type Route, routeKey, routeKind } from '../src/routes/route.ts';

const namespace = `netlink-bench-${process.pid}`;

function tell(what: string, times: readonly number[], more = ''): void {
  const sorted = [...times].sort((left, right) => left - right);
  const at = (share: number): string => (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(3).padStart(9);
  process.stdout.write(`  ${what.padEnd(48)}${at(0.5)} ms p50${at(0.95)} ms p95${more}\n`);
}

function timed(act: () => unknown): number {
  const startedMs = performance.now();
  act();
  return performance.now() - startedMs;
}

/** Measures the longest time during `work` in which nothing else could run, and the duration of `work`. */
async function longestTurnMs(work: () => Promise<unknown>): Promise<{ readonly longestMs: number; readonly tookMs: number }> {
  let longestMs = 0;
  let lastMs = performance.now();
  let done = false;
  const look = (): void => {
    const nowMs = performance.now();
    longestMs = Math.max(longestMs, nowMs - lastMs);
    lastMs = nowMs;
    if (!done) setImmediate(look);
  };
  setImmediate(look);
  const startedMs = performance.now();
  await work();
  done = true;
  return { longestMs, tookMs: performance.now() - startedMs };
}

/** Adds objects and deletes them again, `repetitions` times. */
function addAndRemove<T>(what: string, programmer: Programmer<T>, objects: readonly T[], keyOf: (object: T) => string, repetitions: number): void {
  const times = Array.from({ length: repetitions }, () => [
    timed(() => {
      for (const object of objects) programmer.set(object);
      const [refusal] = programmer.apply().refusals;
      if (refusal) throw new Error(`refused: ${JSON.stringify(refusal)}`);
    }),
    timed(() => {
      for (const object of objects) programmer.remove(keyOf(object));
      programmer.apply();
    }),
  ]);
  for (const [index, verb] of ['add', 'remove'].entries())
    tell(
      `${what}, ${verb} ${objects.length}`,
      times.map((pair) => pair[index] ?? 0),
    );
}

const address = (family: 4 | 6, number: number): string =>
  family === 4 ? `10.${64 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}` : `2001:db8::${(number + 1).toString(16)}`;
const route = (family: 4 | 6, number: number): Route =>
  deviceRoute({ destination: `${address(family, number)}/${family === 4 ? 32 : 128}`, device: 'tap1', metric: 1024, protocol: 80 });
const numbers = (count: number): number[] => Array.from({ length: count }, (_, number) => number);

execFileSync('ip', ['netns', 'add', namespace]);
try {
  const links = inNamespace(namespace, () => openLinks());
  for (const name of ['tap1', 'eth0']) {
    links.createLink(name, 'ifb');
    links.setLink(name, { up: true });
  }
  links.refresh();

  const table = inNamespace(namespace, () => openRoutes());
  const routes = createRouteProgrammer({ table, devices: links, owns: ownsRoutes({ protocols: [80], devicePrefixes: ['tap'] }) });
  routes.apply();
  for (const family of [4, 6] as const)
    for (const [count, repetitions] of [
      [1, 500],
      [100, 50],
      [5000, 7],
    ] as const) {
      const wanted = numbers(count).map((number) => route(family, number));
      addAndRemove(`IPv${family} routes`, routes, wanted, routeKey, repetitions);
    }
  const neighbours = createNeighbourProgrammer({
    table: inNamespace(namespace, openNeighbours),
    devices: links,
    owns: ownsNeighbours({ devicePrefixes: ['tap'] }),
  });
  neighbours.apply();
  const entry = (number: number): Neighbour => ({ kind: 'permanent', device: 'tap1', address: address(4, number), mac: 'fa:16:3e:00:00:01' });
  for (const [count, repetitions] of [
    [1, 500],
    [100, 50],
  ] as const)
    addAndRemove('neighbours', neighbours, numbers(count).map(entry), neighbourKey, repetitions);
  neighbours.close();

  for (const number of numbers(500)) routes.set(route(4, number));
  routes.apply();
  const theirs = (number: number): Route => ({
    ...route(4, number),
    destination: `100.${(number >> 16) + 64}.${(number >> 8) & 255}.${number & 255}/32`,
    protocol: 12,
  });
  for (const count of [1000, 100_000]) {
    const index = links.link('eth0')?.index;
    table.commit(numbers(count).map((number) => ({ verb: 'create', object: routeKind.place(theirs(number), index) })));
    await new Promise((resolve) => setTimeout(resolve, 1000)); // lets the resulting events be read
    routes.apply();
    const audits = [];
    for (let repetition = 0; repetition < 5; repetition++) audits.push(await longestTurnMs(() => routes.audit()));
    const longest = Math.max(...audits.map(({ longestMs }) => longestMs)).toFixed(1);
    tell(
      `audit of 500 routes among ${count}`,
      audits.map(({ tookMs }) => tookMs),
      `, longest turn ${longest} ms`,
    );
    tell(
      `comparison in one go of 500 routes among ${count}`,
      numbers(5).map(() =>
        timed(() => {
          routes.distrust();
          routes.apply();
        }),
      ),
    );
  }
  routes.close();

  const latencies: number[] = [];
  for (const number of numbers(200)) {
    const name = `ev${number}`;
    const told = new Promise<number>((resolve) => {
      const subscription = links.watch(({ links: names }) => {
        if (!names.has(name)) return;
        subscription.close();
        resolve(performance.now());
      });
    });
    links.createLink(name, 'ifb');
    const createdMs = performance.now();
    latencies.push((await told) - createdMs);
  }
  tell('link event, after the link was made', latencies);
  links.close();

  const conntrack = inNamespace(namespace, openConntrack);
  let tracked = 0;
  for (const count of [50_000, 100_000]) {
    const more = numbers(count - tracked).map((number) => udpFlow(address(4, number), '192.0.2.7', [1000 + (count >> 10), 53]));
    inNamespace(namespace, () => trackFlows(more));
    tracked = count;
    for (const batch of [1, 20]) {
      const passes = [];
      for (let repetition = 0; repetition < 5; repetition++) {
        const gone = numbers(batch).map((number) => `10.200.0.${number + 1}`);
        inNamespace(namespace, () => trackFlows(gone.flatMap((source) => numbers(10).map((port) => udpFlow(source, '192.0.2.7', [2000 + port, 53])))));
        passes.push(await longestTurnMs(() => conntrack.deleteByAddress(gone)));
      }
      const longest = Math.max(...passes.map(({ longestMs }) => longestMs)).toFixed(1);
      tell(
        `flows of ${batch} addresses among ${count}`,
        passes.map(({ tookMs }) => tookMs),
        `, longest turn ${longest} ms`,
      );
    }
  }
  conntrack.close();
} finally {
  execFileSync('ip', ['netns', 'del', namespace]);
}
