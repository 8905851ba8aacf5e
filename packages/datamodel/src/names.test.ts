import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  escapeKeyPart,
  groupNameMax,
  isInterfaceName,
  isRegion,
  labelValueMax,
  openstackNamespace,
  parseWorkloadEndpointName,
  regionString,
  sanitiseLabel,
  shortDigest,
  tapName,
  unescapeKeyPart,
  workloadEndpointName,
  workloadEndpointNamePrefix,
} from './names.ts';

describe('a WorkloadEndpoint’s name', () => {
  test('doubles the dashes of each part', () => {
    const parts = { host: 'compute-1', orchestrator: 'openstack', workload: '6f1c-aa', endpoint: '0b5d-7e' };
    expect(workloadEndpointName(parts)).toBe('compute--1-openstack-6f1c--aa-0b5d--7e');
    expect(parseWorkloadEndpointName('compute--1-openstack-6f1c--aa-0b5d--7e')).toEqual(parts);
    expect(workloadEndpointName(parts).startsWith(workloadEndpointNamePrefix('compute-1'))).toBe(true);
    expect(workloadEndpointName({ ...parts, host: 'compute-11' }).startsWith(workloadEndpointNamePrefix('compute-1'))).toBe(false);
  });
  test('can be parsed again, whatever the parts, as long as none begins with a dash', () => {
    const part = fc.string({ minLength: 1, unit: fc.constantFrom('a', '-', '.', '_', '1') }).filter((text) => !text.startsWith('-'));
    fc.assert(
      fc.property(part, part, part, part, (host, orchestrator, workload, endpoint) => {
        const parts = { host, orchestrator, workload, endpoint };
        expect(parseWorkloadEndpointName(workloadEndpointName(parts))).toEqual(parts);
      }),
    );
  });
  test.each(['', 'a-b-c', 'a-b-c-d-e', 'a-b-c-', '-b-c-d', 'a-b--c-d'])('%j is none', (name) => expect(parseWorkloadEndpointName(name)).toBeUndefined());
});

test.each([
  ['openstack/6f1c-aa', 'openstack%2f6f1c-aa'],
  ['a%2fb/c', 'a%252fb%2fc'],
  ['plain', 'plain'],
])('%s in a key is %s', (part, escaped) => {
  expect(escapeKeyPart(part)).toBe(escaped);
  expect(unescapeKeyPart(escaped)).toBe(part);
});

describe('regions', () => {
  test.each([
    ['europe-1', true],
    ['e', true],
    ['', false],
    ['Europe', false],
    ['-e', false],
    ['e-', false],
    ['a.b', false],
    ['x'.repeat(46), true],
    ['x'.repeat(47), false],
  ])('%j: %s', (region, ok) => expect(isRegion(region)).toBe(ok));
  test('are part of keys and namespaces', () => {
    expect([regionString(undefined), regionString('west')]).toEqual(['no-region', 'region-west']);
    expect([openstackNamespace(''), openstackNamespace('west')]).toEqual(['openstack', 'openstack-region-west']);
  });
});

test.each([
  ['web tier', groupNameMax, 'web_tier'],
  ['  web!', groupNameMax, 'web'],
  ['a'.repeat(30), groupNameMax, 'a'.repeat(27)],
  [`${'a'.repeat(26)}!b`, groupNameMax, 'a'.repeat(26)],
  ['ü…', labelValueMax, ''],
  ['x.y-z_', labelValueMax, 'x.y-z'],
  ['日本 lab', labelValueMax, 'lab'],
])('the name %j, at most %i, becomes the label %j', (name, max, label) => expect(sanitiseLabel(name, max)).toBe(label));

test('a tap carries the first eleven characters of the port id', () => expect(tapName('9f8e7d6c-1111-4111-8111-11111111cafe')).toBe('tap9f8e7d6c-11'));

test.each([
  ['tap9f8e7d6c-11', true],
  ['x'.repeat(15), true],
  ['x'.repeat(16), false],
  ['', false],
  ['.', false],
  ['..', false],
  ['a/b', false],
  ['a b', false],
  ['a:1', false],
  ['a\n', false],
  ['a"', true],
])('interface name %j: %s', (name, ok) => expect(isInterfaceName(name)).toBe(ok));

test('a digest has the length asked for and tells texts apart', () => {
  expect(shortDigest('a', 24)).toMatch(/^[0-9a-v]{24}$/);
  expect(shortDigest('a', 24)).not.toBe(shortDigest('b', 24));
  expect(shortDigest('a', 24).startsWith(shortDigest('a', 12))).toBe(true);
});
