import { describe, expect, test } from 'vitest';
import type { Guards } from './configuration.ts';
import { createGuardPrinter, guardFunctions } from './guards.ts';

const none: Guards = { own: [], networks: [], hosts: [], moving: [], workloads: [] };
const entries = (guards: Partial<Record<keyof Guards, readonly string[]>>): readonly string[] =>
  createGuardPrinter(4)({ ...none, ...guards } as Guards)
    .flatMap(({ bytes }) => Buffer.from(bytes).toString().split('\n'))
    .filter((line) => line.startsWith('  route '))
    .map((line) => line.trim());

test.each<readonly [Partial<Record<keyof Guards, readonly string[]>>, readonly string[]]>([
  [{ own: ['192.0.2.1'] }, ['route 192.0.2.1/32 max 32 as 1;']],
  [{ networks: ['192.0.2.0/30'] }, ['route 192.0.2.0/30 max 32 as 2;']],
  [{ hosts: ['192.0.2.5'] }, ['route 192.0.2.5/32 max 32 as 3;']],
  [{ moving: ['10.65.0.4/32'] }, ['route 10.65.0.4/32 max 32 as 4;']],
  [{ workloads: ['10.65.0.0/16'] }, ['route 10.65.0.0/16 max 32 as 6;']],
])('%j is %j', (guards, expected) => expect(entries(guards)).toEqual(expected));

test('a prefix of workloads inside a network of the host’s is excepted from it; one that holds the network is not', () => {
  expect(entries({ networks: ['10.0.0.0/16'], workloads: ['10.0.128.0/17'] })).toContain('route 10.0.128.0/17 max 32 as 5;');
  expect(entries({ networks: ['10.0.0.0/16'], workloads: ['10.0.0.0/16'] })).not.toContain('route 10.0.0.0/16 max 32 as 5;');
  expect(entries({ networks: ['10.0.0.0/16'], workloads: ['10.0.0.0/8'] })).not.toContain('route 10.0.0.0/8 max 32 as 5;');
});

test('inside a prefix of workloads, whatever covers a host or a network of this one is refused, and what is beside it is not', () => {
  expect(entries({ hosts: ['10.65.0.9'], networks: ['10.65.4.0/30'], workloads: ['10.65.0.0/29', '10.65.4.0/29'] }).toSorted()).toEqual(
    [
      'route 10.65.0.0/29 max 32 as 6;',
      'route 10.65.4.0/29 max 29 as 3;',
      'route 10.65.4.0/29 max 32 as 6;',
      'route 10.65.4.0/30 max 32 as 2;',
      'route 10.65.0.9/32 max 32 as 3;',
    ].sort(),
  );
  expect(
    entries({ hosts: ['10.65.0.9'], workloads: ['10.65.0.0/28'] })
      .filter((line) => line.endsWith('as 3;'))
      .toSorted(),
  ).toEqual(
    ['10.65.0.0/28 max 28', '10.65.0.8/29 max 29', '10.65.0.8/30 max 30', '10.65.0.8/31 max 31', '10.65.0.9/32 max 32'].map((entry) => `route ${entry} as 3;`),
  );
});

describe('the functions', () => {
  test('are the same whatever the tables hold: a filter that changed would have all neighbours send everything again', () => {
    expect(guardFunctions([4, 6]).join('\n')).not.toMatch(/192\.0\.2|10\.65/);
  });
});
