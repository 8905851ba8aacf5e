import { recordingLog } from '@calico-openstack/agent';
import { fakeClock } from '@calico-openstack/agent/fake-clock';
import { expect, test } from 'vitest';
import type { Refusal } from './audit.ts';
import type { BirdControl } from './bird/control.ts';
import { auditMs } from './look-again.ts';
import { routeAudit } from './route-audit.ts';

/** A BIRD with a neighbour that announces two refused routes, and from which nine routes are imported. */
function setUp(mostRoutes: number) {
  const clock = fakeClock();
  const asked: string[] = [];
  const told: (readonly Refusal[])[] = [];
  const ask = async (command: string) => {
    asked.push(command);
    return { code: 0, lines: linesFor(command).map((text) => ({ code: 1007, text })) };
  };
  const control: BirdControl = { ask, closed: new Promise(() => {}), close: () => undefined };
  const audit = routeAudit({ control: async () => control, mostRoutes, onRefusals: (refused) => told.push(refused), log: recordingLog().log, clock });
  return { audit, clock, asked, told };
}

/** BIRD's answers to `show protocols all`, and to questions for routes and their numbers. */
function linesFor(command: string): readonly string[] {
  if (command.startsWith('show protocols all "workload')) return [];
  if (command.startsWith('show protocols'))
    return ['tor        BGP        ---        up     2026-01-01    Established', '  Channel ipv4', '    Routes:         8 imported, 1 filtered, 3 exported'];
  if (!command.includes('filtered table master4 where calico_refused()')) return [];
  return command.endsWith('count') ? ['1 of 9 routes for 9 networks in table master4'] : ['0.0.0.0/0            unicast [tor 2026-01-01] * (100) [i]'];
}
const questionsForRefused = (asked: readonly string[]): number => asked.filter((command) => command.includes('master4 where calico_refused()')).length;

test('what BIRD refuses, and who is near his limit, is told and reported', async () => {
  const { audit, told } = setUp(10);
  expect(audit.problems).toEqual([]);
  await audit.look('guards');
  expect(told).toEqual([[{ session: 'tor', count: 1, prefixes: ['0.0.0.0/0'] }]]);
  expect(audit.problems.map(({ key, reason }) => [key, /announces ([^,:]*)/.exec(reason)?.[1]])).toEqual([
    ['session tor', '0.0.0.0/0'],
    ['session tor', 'nearly as many routes as MaxRoutesPerPeer lets it'],
  ]);
});

test.each([
  [0, 0],
  [1, 1],
])('with MaxRoutesPerPeer %i, %i sessions are at their limit', async (mostRoutes, expected) => {
  const { audit, asked } = setUp(mostRoutes);
  await audit.look('guards');
  expect(audit.problems.filter(({ reason }) => reason.includes('MaxRoutesPerPeer'))).toHaveLength(expected);
  expect(asked.includes('show protocols all "*"')).toBe(expected > 0);
});

test('BIRD is asked again when the time has come, not before, and at once when the guards are others', async () => {
  const { audit, clock, asked } = setUp(0);
  const after = async (ms: number, guards: string): Promise<number> => {
    await clock.pass(ms);
    asked.length = 0;
    await audit.look(guards);
    return questionsForRefused(asked);
  };
  expect(await after(5000, 'guards')).toBeGreaterThan(0);
  expect(await after(auditMs - 1, 'guards')).toBe(0);
  expect(await after(1, 'guards')).toBeGreaterThan(0);
  expect(await after(1, 'other guards')).toBeGreaterThan(0);
});
