import type { Cidr } from '@calico-openstack/addresses';
import type { Rule } from '@calico-openstack/datamodel';
import { describe, expect, test } from 'vitest';
import { allowsEverything, type Reach, reachOf } from './reach.ts';

const rule = (more: Partial<Rule> = {}): Rule => ({ action: 'allow', source: {}, destination: {}, ...more });
const [v4, v6] = [rule({ ipVersion: 4 }), rule({ ipVersion: 6 })];

describe('what rules do', () => {
  test.each<[string, readonly Rule[], Reach]>([
    ['none', [], 'allows'],
    ['one for both families', [rule()], 'everything'],
    ['one for each family, as Neutron writes them', [v4, v6], 'everything'],
    ['one family', [v4], 'allows'],
    ['one family twice', [v6, v6], 'allows'],
    ['all, and then anything', [v4, v6, rule({ action: 'deny' })], 'everything'],
    ['all behind a denial', [rule({ action: 'deny', protocol: 6 }), v4, v6], 'judges'],
    ['a denial between the families', [v4, rule({ action: 'deny' }), v6], 'judges'],
    ['all behind what is logged', [rule({ action: 'log' }), rule()], 'judges'],
    ['all behind what is passed', [rule({ action: 'pass', protocol: 6 }), rule()], 'judges'],
    ['a protocol', [rule({ protocol: 6 })], 'allows'],
    ['not a protocol', [rule({ notProtocol: 6 })], 'allows'],
    ['not an ICMP type', [rule({ notIcmp: { type: 8 } })], 'allows'],
    ['a source', [rule({ source: { nets: ['10.0.0.0/8' as Cidr] } })], 'allows'],
    ['a list of sources without any', [rule({ source: { nets: [] } })], 'allows'],
    ['a destination', [rule({ destination: { notPorts: [{ first: 1, last: 2 }] } })], 'allows'],
    ['something in the way, and all', [rule({ protocol: 6 }), rule()], 'everything'],
    ['properties without a value', [rule({ protocol: undefined, source: { nets: undefined } } as unknown as Partial<Rule>)], 'everything'],
  ])('%s', (_, rules, reach) => expect(reachOf(rules)).toBe(reach));
});

test.each<[readonly (Reach | undefined)[], boolean]>([
  [[], false],
  [['everything'], true],
  [['allows', 'everything', 'judges'], true],
  [['allows', 'allows'], false],
  [['judges', 'everything'], false],
  [['allows', 'judges', 'everything'], false],
  [[undefined, 'everything'], false],
])('policies that do %j, in this order, allow everything: %s', (reaches, all) => expect(allowsEverything(reaches)).toBe(all));
