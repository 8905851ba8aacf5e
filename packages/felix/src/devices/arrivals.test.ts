import type { Cidr } from '@calico-openstack/addresses';
import type { WorkloadId } from '@calico-openstack/datamodel';
import type { WorkloadDevice } from '@calico-openstack/render';
import { expect, test } from 'vitest';
import { Arrivals } from './arrivals.ts';

const convergenceMs = 30_000;
const vm = 'vm' as WorkloadId;
const device = (liveMigrationRole?: 'source' | 'target'): WorkloadDevice => ({
  interfaceName: 'tap1',
  workload: vm,
  routes: ['10.65.0.1/32' as Cidr],
  neighbours: [],
  proxyNeighbours: [],
  peeringAddresses: [],
  spoofing: false,
  ...(liveMigrationRole && { liveMigrationRole }),
});

type Step = 'target' | 'source' | 'none' | 'gone' | 'heard' | number;

/** Plays steps, a number being milliseconds that pass. Returns how the workload is routed behind each step, with the number of its routes. */
function play(steps: readonly Step[], earlier: readonly string[] = []): readonly string[] {
  const arrivals = new Arrivals(new Set(earlier));
  let nowMs = 0;
  let now = 'gone';
  return steps.map((step) => {
    if (typeof step === 'number') nowMs += step;
    else if (step === 'heard') arrivals.hear(vm);
    const role = step === 'target' || step === 'source' ? step : undefined;
    const change = typeof step === 'number' || step === 'heard' ? [] : [[vm, step === 'gone' ? undefined : device(role)] as const];
    const placed = arrivals.place(new Map(change), nowMs, convergenceMs);
    if (placed.has(vm)) {
      const place = placed.get(vm);
      now = place ? `${place.routing} ${place.routes.length}` : 'gone';
    }
    return now;
  });
}

test.each<readonly [string, readonly Step[], readonly string[]]>([
  ['a workload that does not migrate', ['none', 'heard', 100_000], ['normal 1', 'normal 1', 'normal 1']],
  ['the source', ['none', 'source', 'heard', 'gone'], ['normal 1', 'leaving 1', 'leaving 1', 'gone']],
  ['the source, aborted', ['none', 'source', 'none'], ['normal 1', 'leaving 1', 'normal 1']],
  ['heard, activated', ['target', 'heard', 'none', 29_999, 1], ['held 0', 'elevated 1', 'elevated 1', 'elevated 1', 'normal 1']],
  ['never heard', ['target', 100_000, 'none', 'heard', 30_000], ['held 0', 'held 0', 'elevated 1', 'elevated 1', 'normal 1']],
  ['aborted', ['target', 'gone', 'heard', 100_000], ['held 0', 'gone', 'gone', 'gone']],
  ['heard and aborted', ['target', 'heard', 'gone', 'target'], ['held 0', 'elevated 1', 'gone', 'held 0']],
  ['heard long before it becomes a target', ['none', 'heard', 'target'], ['normal 1', 'normal 1', 'held 0']],
  ['back at once', ['target', 'heard', 'none', 'source'], ['held 0', 'elevated 1', 'elevated 1', 'leaving 1']],
  ['changed while it settles', ['target', 'heard', 'none', 20_000, 'none', 10_000], ['held 0', ...Array.from({ length: 4 }, () => 'elevated 1'), 'normal 1']],
  ['named as target again, heard', ['target', 'heard', 'none', 'target', 40_000], ['held 0', ...Array.from({ length: 4 }, () => 'elevated 1')]],
  ['named as target again, not heard', ['target', 'none', 'target', 'heard'], ['held 0', 'elevated 1', 'held 0', 'elevated 1']],
])('%s', (_, steps, routings) => expect(play(steps)).toEqual(routings));

test('a restart withdraws nothing: whoever had elevated routes has arrived', () => {
  expect(play(['target', 'none', 30_000], ['tap1'])).toEqual(['elevated 1', 'elevated 1', 'normal 1']);
  expect(play(['none', 30_000], ['tap1'])).toEqual(['elevated 1', 'normal 1']);
  expect(play(['target'], ['tap2'])).toEqual(['held 0']);
});

test('only what was there at the start of the process counts as an earlier run', () => {
  const arrivals = new Arrivals(new Set(['tap1']));
  arrivals.place(new Map(), 0, convergenceMs);
  expect(arrivals.place(new Map([[vm, device('target')]]), 0, convergenceMs).get(vm)?.routing).toBe('held');
});

test('it says whether somebody is awaited, and when the next routing changes by itself', () => {
  const arrivals = new Arrivals(new Set());
  const place = (role?: 'target') => arrivals.place(new Map([[vm, device(role)]]), 1000, convergenceMs);
  expect([arrivals.areAnyAwaited, arrivals.restMs(1000)]).toEqual([false, undefined]);
  place('target');
  expect([arrivals.areAnyAwaited, arrivals.restMs(1000)]).toEqual([true, undefined]);
  expect([arrivals.hear(vm), arrivals.hear(vm)]).toEqual([true, false]);
  expect(arrivals.areAnyAwaited).toBe(false);
  place();
  expect([arrivals.restMs(2000), arrivals.restMs(99_000)]).toEqual([29_000, 0]);
});

test('nothing is kept of a workload that has settled', () => {
  expect(play(['target', 'heard', 'none', 30_000, 'target'])).toEqual(['held 0', 'elevated 1', 'elevated 1', 'normal 1', 'held 0']);
});
