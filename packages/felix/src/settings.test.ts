import { expect, test } from 'vitest';
import type { Source } from './config/sources.ts';
import { keepSettings } from './settings.ts';

const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
const root = '/calico/resources/v3/projectcalico.org/';
const clusterKey = `${root}clusterinformations/default`;
const local: Source[] = [
  {
    name: 'environment',
    fromDatastore: false,
    values: new Map([
      ['healthport', '1'],
      ['felixhostname', 'h1'],
    ]),
  },
];

test('nothing is ready before ClusterInformation says so, and a pause is honoured', () => {
  const keeper = keepSettings(local);
  expect(keeper.settings.ready).toBe(false);
  const say = (spec: object): boolean => {
    keeper.update(clusterKey, bytes({ spec }));
    keeper.refresh();
    return keeper.settings.ready;
  };
  expect(say({ clusterType: 'openstack' })).toBe(false);
  expect(say({ clusterType: 'openstack', datastoreReady: true })).toBe(true);
  expect(say({ datastoreReady: false })).toBe(false);
  say({ datastoreReady: true });
  keeper.update(clusterKey, undefined);
  expect(keeper.refresh().changed).toBe(true);
  expect(keeper.settings.ready).toBe(false);
});

test('the node’s FelixConfiguration beats the default one, local sources beat both, and going back is taken live', () => {
  const keeper = keepSettings(local);
  const put = (name: string, spec: object | undefined): void => {
    expect(keeper.update(`${root}felixconfigurations/${name}`, spec && bytes({ spec }))).toBe(name !== 'node.h2');
    keeper.refresh();
  };
  put('default', { healthPort: 2, vxlanPort: 3, interfacePrefix: 'tap' });
  put('node.h1', { vxlanPort: 4 });
  put('node.h2', { vxlanPort: 5 });
  expect(keeper.settings.config).toMatchObject({ HealthPort: 1, VXLANPort: 4, InterfacePrefix: ['tap'] });
  put('node.h1', undefined);
  expect(keeper.settings.config.VXLANPort).toBe(3);
});

test('a FelixConfiguration that cannot be read leaves the last good one in force, told once; only its deletion takes it away', () => {
  const keeper = keepSettings(local);
  const put = (value: unknown): readonly unknown[] => {
    keeper.update(`${root}felixconfigurations/default`, value === undefined ? undefined : bytes(value));
    const { complaints } = keeper.refresh();
    return [keeper.settings.config.VXLANPort, complaints.map(({ source, problem }) => `${source}: ${problem}`)];
  };
  const broken = (instead: string): unknown => [expect.stringMatching(new RegExp(`^FelixConfiguration default: .*; ${instead}$`))];
  expect(put('{')).toEqual([4789, broken('counts as absent')]);
  expect(keeper.refresh()).toEqual({ changed: false, complaints: [] });
  expect(put({ spec: { vxlanPort: 3 } })).toEqual([3, []]);
  expect(put('{')).toEqual([3, broken('the last one that could be read stays in force')]);
  expect(put('{')).toEqual([3, []]);
  expect(put('null')).toEqual([3, broken('the last one that could be read stays in force')]);
  expect(put({ spec: {} })).toEqual([4789, []]);
  expect(put({ spec: { vxlanPort: 5 } })).toEqual([5, []]);
  expect(put('[]')[0]).toBe(5);
  expect(put(undefined)).toEqual([4789, []]);
});

test('other keys do not concern it', () => expect(keepSettings(local).update(`${root}tiers/default`, bytes('{}'))).toBe(false));
