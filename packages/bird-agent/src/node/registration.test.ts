import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { claimedAnnotation } from '../resources/node.ts';
import { type Registration, registeredAnnotation, registerInNode } from './registration.ts';

const birth = () => ({ uid: 'u', creationTimestamp: '2026-11-24T00:00:00Z' });
const wanted: Registration = { ipv4Address: '192.0.2.1/30', ipv6Address: '2001:db8::1/64', asNumber: undefined };
const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** The Node after the registration, whether it was written or not. */
function after(
  current: object | undefined,
  registration: Registration,
): Record<string, never> & { spec: { bgp: Record<string, unknown> }; metadata: Record<string, unknown> } {
  const result = registerInNode(current && bytes(current), 'h1', registration, birth);
  if (!result.ok) throw new Error(result.reason);
  return result.value === undefined ? (current as never) : JSON.parse(result.value);
}
const writes = (current: object, registration: Registration): boolean => {
  const result = registerInNode(bytes(current), 'h1', registration, birth);
  return result.ok && result.value !== undefined;
};

test('a host without Node gets one', () => {
  expect(after(undefined, wanted)).toEqual({
    kind: 'Node',
    apiVersion: 'projectcalico.org/v3',
    metadata: {
      name: 'h1',
      uid: 'u',
      creationTimestamp: '2026-11-24T00:00:00Z',
      annotations: { [registeredAnnotation]: '{"ipv4Address":"192.0.2.1/30","ipv6Address":"2001:db8::1/64"}' },
    },
    spec: { bgp: { ipv4Address: '192.0.2.1/30', ipv6Address: '2001:db8::1/64' } },
  });
});

describe('where another Node has the host’s address', () => {
  const claimed = (node: { metadata: Record<string, unknown> }): unknown => (node.metadata['annotations'] as Record<string, unknown>)[claimedAnnotation];
  test('the host claims it when its Node is made, and in one that is there', () => {
    expect(claimed(after(undefined, { ...wanted, claimAfterMs: 0 }))).toBe('2026-11-24T00:00:00Z');
    expect(claimed(after(after(undefined, wanted), { ...wanted, claimAfterMs: 0 }))).toBe('2026-11-24T00:00:00Z');
  });
  test('its claim is later than the other’s, whatever the clocks say', () => {
    expect(claimed(after(after(undefined, wanted), { ...wanted, claimAfterMs: Date.parse('2027-01-01T00:00:00Z') }))).toBe('2027-01-01T00:00:01Z');
  });
  test('a claim that is later already is not written again', () => {
    const node = after(undefined, { ...wanted, claimAfterMs: 0 });
    expect(writes(node, { ...wanted, claimAfterMs: Date.parse('2026-11-23T00:00:00Z') })).toBe(false);
  });
});

test('a Node that is right is not written', () => expect(writes(after(undefined, wanted), wanted)).toBe(false));

describe('what the agent wrote', () => {
  test('follows the host', () => {
    expect(after(after(undefined, wanted), { ...wanted, ipv4Address: '192.0.2.9/30' }).spec.bgp).toEqual({
      ipv4Address: '192.0.2.9/30',
      ipv6Address: '2001:db8::1/64',
    });
  });
  test('stays while the host does not know better: a link that is down for a moment must not end sessions', () => {
    expect(writes(after(undefined, wanted), { ...wanted, ipv4Address: undefined })).toBe(false);
  });
});

describe('what an operator set', () => {
  const operators = { metadata: { name: 'h1' }, spec: { bgp: { ipv4Address: '203.0.113.1/24', asNumber: 64999 } } };
  test('stays, and what is missing is filled in', () => {
    expect(after(operators, { ...wanted, asNumber: 64600 }).spec.bgp).toEqual({
      ipv4Address: '203.0.113.1/24',
      asNumber: 64999,
      ipv6Address: '2001:db8::1/64',
    });
  });
  test('stays also where the agent had written before', () => {
    const written = after(undefined, wanted);
    const changed = { ...written, spec: { bgp: { ...written.spec.bgp, ipv4Address: '203.0.113.1/24' } } };
    const next = after(changed, { ...wanted, ipv4Address: '192.0.2.9/30' });
    expect(next.spec.bgp).toEqual({ ipv4Address: '203.0.113.1/24', ipv6Address: '2001:db8::1/64' });
    expect(after(next, { ...wanted, ipv4Address: '203.0.113.1/24' }).spec.bgp).toEqual(next.spec.bgp);
  });
});

test.each([
  ['no JSON', new TextEncoder().encode('{')],
  ['a list as spec', bytes({ spec: [] })],
  ['text as spec.bgp', bytes({ spec: { bgp: 'x' } })],
])('bytes with %s are somebody’s, and are left', (_, current) => expect(registerInNode(current, 'h1', wanted, birth).ok).toBe(false));

test('whatever stands in a Node, nothing that is not the agent’s is changed or lost, and writing once is enough', () => {
  const value = fc.jsonValue();
  const fields = fc.dictionary(fc.constantFrom('ipv4Address', 'asNumber', 'routeReflectorClusterID', 'x'), value);
  const node = fc.record({
    extra: value,
    metadata: fc.record({ labels: fc.dictionary(fc.string(), fc.string()), annotations: fc.dictionary(fc.string(), fc.string()) }, { requiredKeys: [] }),
    spec: fc.record({ other: value, bgp: fields }, { requiredKeys: [] }),
  });
  fc.assert(
    fc.property(node, (generated) => {
      const current = JSON.parse(JSON.stringify(generated)) as typeof generated;
      const next = after(current, wanted);
      const { bgp = {}, ...otherSpec } = current.spec;
      expect(next).toMatchObject({ ...(current.extra !== undefined && { extra: current.extra }), spec: otherSpec });
      for (const [field, set] of Object.entries(bgp)) if (set !== null && set !== '') expect(next.spec.bgp[field]).toEqual(set);
      for (const [name, text] of Object.entries(current.metadata.annotations ?? {}))
        expect((next.metadata['annotations'] as Record<string, string>)[name]).toBe(text);
      expect(writes(next, wanted)).toBe(false);
    }),
  );
});
