import { describe, expect, test } from 'vitest';
import { bytes } from '../testing/resources.ts';
import { decodePolicy, type HeldPolicy, holdPolicy, type PolicyKind, RecentRules } from './policy.ts';
import { decodeTier } from './tier.ts';

const ns = 'projectcalico.org/namespace';
const decode = (spec: unknown, kind: PolicyKind = 'GlobalNetworkPolicy') =>
  decodePolicy(bytes(JSON.stringify({ spec })), kind, kind === 'NetworkPolicy' ? 'n' : undefined, 'name');

describe('whom a policy governs', () => {
  test.each<[string, PolicyKind, object, string]>([
    ['no selector: everything, host endpoints too', 'GlobalNetworkPolicy', {}, 'all()'],
    ['no selector, in a namespace: all of it', 'NetworkPolicy', {}, `${ns} == "n"`],
    ['a selector', 'GlobalNetworkPolicy', { selector: 'has(a)' }, 'has(a)'],
    ['a selector, in a namespace', 'NetworkPolicy', { selector: 'has(a) || has(b)' }, `((has(a) || has(b)) && ${ns} == "n")`],
    ['a service account selector', 'NetworkPolicy', { serviceAccountSelector: 'has(a)' }, `(has(pcsa.a) && ${ns} == "n")`],
    ['a namespace selector in a namespace, which means nothing', 'NetworkPolicy', { namespaceSelector: 'has(b)' }, `${ns} == "n"`],
    ['a namespace selector', 'GlobalNetworkPolicy', { selector: 'has(a)', namespaceSelector: 'has(b)' }, '(has(a) && has(pcns.b))'],
    ['all() as namespace selector: in some namespace', 'GlobalNetworkPolicy', { namespaceSelector: 'all()' }, `has(${ns})`],
    [
      'with a namespace selector, all() in the selector too',
      'GlobalNetworkPolicy',
      { selector: '!all()', namespaceSelector: 'has(b)' },
      `(!has(${ns}) && has(pcns.b))`,
    ],
    ['global() as namespace selector: true for everything', 'GlobalNetworkPolicy', { selector: 'has(a)', namespaceSelector: 'global()' }, 'has(a)'],
    ['global() as selector: true for everything', 'GlobalNetworkPolicy', { selector: 'global()' }, 'all()'],
    ['a value that contains all()', 'GlobalNetworkPolicy', { selector: "a == 'all()'", namespaceSelector: 'all()' }, `(a == "all()" && has(${ns}))`],
  ])('%s', (_, kind, spec, text) => expect(decode(spec, kind).value?.selector.text).toBe(text));

  test.each([{ selector: 'role == ' }, { selector: 'has(' }, { selector: 7 }, { namespaceSelector: '(' }, { serviceAccountSelector: '(' }])(
    '%j: nobody knows, so it counts as absent',
    (spec) => expect(decode(spec)).toMatchObject({ value: undefined, defects: [expect.stringContaining('absent')] }),
  );
  test.each(['', '{', '[]', '{"spec":[]}', '{"metadata":{"labels":{"a":1}}}'])('a value %j is no policy', (text) =>
    expect(decodePolicy(bytes(text), 'NetworkPolicy', 'n', 'x')).toMatchObject({ value: undefined, defects: [expect.any(String)] }),
  );
});

describe('which directions', () => {
  const rules = { ingress: [{ action: 'Allow' }, { action: 'Deny' }], egress: [{ action: 'Allow' }, { action: 'Deny' }] };
  const actions = (spec: object) => {
    const { value } = decode(spec);
    return [value?.ingress?.map(({ action }) => action), value?.egress?.map(({ action }) => action)];
  };
  const [both, denials, not] = [['allow', 'deny'], ['deny'], undefined];
  test.each<[string, object, unknown]>([
    ['types absent: both', rules, [both, both]],
    ['types null: both', { ...rules, types: null }, [both, both]],
    ['types empty: both', { ...rules, types: [] }, [both, both]],
    ['both, without any rules', {}, [[], []]],
    ['rules that are null are none', { ingress: null, egress: null }, [[], []]],
    ['Ingress', { ...rules, types: ['Ingress'] }, [both, not]],
    ['Egress, in any case', { ...rules, types: ['EGRESS'] }, [not, both]],
    ['both', { ...rules, types: ['Ingress', 'Egress'] }, [both, both]],
    ['a type that is not understood: of the other direction what it denies', { ...rules, types: ['Ingress', 'Egres'] }, [both, denials]],
    ['only a type that is not understood', { ...rules, types: ['Sideways'] }, [denials, denials]],
    ['types that are no list', { ...rules, types: 'Ingress' }, [denials, denials]],
    ['an order that is not understood', { ...rules, order: 'first' }, [denials, denials]],
    ['a tier that is not understood', { ...rules, tier: 5 }, [denials, denials]],
    ['a flag that is not understood', { ...rules, doNotTrack: 'yes' }, [denials, denials]],
    ['rules that are no list deny', { ingress: {}, egress: 'x' }, [['deny'], ['deny']]],
    ['before DNAT there is no egress', { ...rules, preDNAT: true }, [both, not]],
  ])('%s', (_, spec, expected) => expect(actions(spec)).toEqual(expected));
});

describe('where a policy stands', () => {
  test.each<[string, object, object]>([
    ['last in the default tier', {}, { tier: 'default', order: Number.POSITIVE_INFINITY, use: 'normal', applyOnForward: false }],
    ['an empty tier is the default one', { tier: '' }, { tier: 'default' }],
    ['a negative order', { tier: 't', order: -0.5 }, { tier: 't', order: -0.5 }],
    ['an order that is not understood: first', { order: '1' }, { order: Number.NEGATIVE_INFINITY }],
    ['a tier that is not understood: before all others', { tier: ['t'] }, { tier: '' }],
    ['apply on forward', { applyOnForward: true }, { use: 'normal', applyOnForward: true }],
    ['before DNAT', { preDNAT: true, applyOnForward: true }, { use: 'pre-dnat' }],
    ['untracked wins over before DNAT', { preDNAT: true, doNotTrack: true }, { use: 'untracked' }],
    ['a flag that is not understood: where it meets most traffic', { preDNAT: 1 }, { use: 'normal', applyOnForward: true }],
    ['fields that mean nothing to it', { performanceHints: ['AssumeNeededOnEveryNode'], new: 1 }, { tier: 'default' }],
  ])('%s', (_, spec, expected) => expect(decode(spec).value).toMatchObject(expected));
  test('a NetworkPolicy has no flags', () =>
    expect(decode({ doNotTrack: true, preDNAT: true, applyOnForward: true }, 'NetworkPolicy').value).toMatchObject({ use: 'normal', applyOnForward: false }));
});

describe('a tier', () => {
  const tier = (spec: object) => decodeTier(bytes(JSON.stringify({ spec })));
  test.each<[object, unknown]>([
    [{}, { order: Number.POSITIVE_INFINITY, endAction: 'deny' }],
    [
      { order: 5, defaultAction: 'Pass' },
      { order: 5, endAction: 'pass' },
    ],
    [
      { order: null, defaultAction: 'Deny' },
      { order: Number.POSITIVE_INFINITY, endAction: 'deny' },
    ],
    [{ defaultAction: 'pass' }, { order: Number.POSITIVE_INFINITY, endAction: 'deny' }],
    [{ order: '5' }, undefined],
  ])('%j', (spec, expected) => expect(tier(spec).value).toEqual(expected));
});

describe('a policy that is held', () => {
  const spec = { types: ['Ingress'], ingress: [{ action: 'Allow', protocol: 6 }] };
  const hold = (name: string, recent: RecentRules): HeldPolicy =>
    holdPolicy(bytes(JSON.stringify({ spec })), 'GlobalNetworkPolicy', undefined, name, recent).value!;

  test('has the same rules whether they are remembered or decoded again, and says which directions it governs', () => {
    const recent = new RecentRules();
    const held = hold('name', recent);
    const { ingress } = decode(spec).value!;
    expect(held.governs).toEqual({ ingress: true, egress: false });
    expect(recent.of(held)).toEqual({ ingress, egress: [] });
    expect(new RecentRules().of(held)).toEqual({ ingress, egress: [] });
  });

  test('is decoded again only when many others were read since', () => {
    const recent = new RecentRules();
    const held = hold('name', recent);
    const remembered = recent.of(held);
    for (let index = 0; index < 1999; index += 1) hold(`other-${index}`, recent);
    expect(recent.of(held)).toBe(remembered);
    hold('one-more', recent);
    expect(recent.of(held)).not.toBe(remembered);
    expect(recent.of(held)).toEqual(remembered);
  });
});
