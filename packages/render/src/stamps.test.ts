import { addressBytes, type Cidr, type IpAddress } from '@calico-openstack/addresses';
import { type LocalWorkload, noChange, type Policy, type PolicyId, type WorkloadId } from '@calico-openstack/datamodel';
import type { Field, Hook } from '@calico-openstack/kernel/nftables/objects';
import { fakeTable } from '@calico-openstack/kernel/nftables/table.fake';
import { describe, expect, test } from 'vitest';
import { applyEdits } from './edits.ts';
import { defaultRenderOptions, type RenderOptions } from './options.ts';
import { Renderer } from './renderer.ts';
import { stampElements, stampSet, stampsOf } from './stamps.ts';
import { ifnameBytes, port, u32 } from './statements.ts';

const states = { new: 8, established: 2, related: 4, untracked: 64 } as const;
const OTHERS = 0x5; // bits of the connection's mark that belong to another program
const { egress: E, ingress: I } = defaultRenderOptions.stamps;
const EXPECTED = 1;

type Sent = {
  readonly in?: string;
  readonly out?: string;
  readonly state: keyof typeof states;
  readonly reply?: boolean;
  readonly mark?: number;
  readonly protocol?: number;
  readonly dport?: number;
  readonly foretold?: boolean;
};

const everything = [{ action: 'allow', source: {}, destination: {} }] as const;
const address = { tap1: '10.0.0.1', tap2: '10.0.0.2', eth0: '192.0.2.9' } as const;

function workload(name: 'tap1' | 'tap2', policy: Policy): [WorkloadId, LocalWorkload] {
  const id = `openstack/openstack/${name}/${name}` as WorkloadId;
  const addresses = [`${address[name]}/32`] as Cidr[];
  const tiers = [{ tier: 'default', policies: [policy.id], endAction: 'deny' as const }];
  return [
    id,
    {
      id,
      orchestrator: 'openstack',
      workload: name,
      endpoint: name,
      interfaceName: name,
      addresses,
      routed: addresses,
      ipNats: [],
      allowSpoofedSourcePrefixes: [],
      policy: { ingress: tiers, egress: tiers, profiles: [] },
    },
  ];
}

/** tap1 and tap2 are workloads under one policy with these directions; eth0 leads to all other hosts. */
function host(allows: { readonly ingress?: boolean; readonly egress?: boolean }, options: Partial<RenderOptions> = {}) {
  const tables = { inet: fakeTable('inet', 'calico-felix'), arp: fakeTable('arp', 'calico-felix') };
  const programmers = { inet: tables.inet.table, arp: tables.arp.table };
  const renderer = new Renderer({ ...defaultRenderOptions, ...options });
  applyEdits(programmers, renderer.start());
  const policy: Policy = {
    id: 'NetworkPolicy/openstack/it' as PolicyId,
    tier: 'default',
    ingress: allows.ingress ? everything : [],
    egress: allows.egress ? everything : [],
  };
  const change = { ...noChange, policies: new Map([[policy.id, policy]]), workloads: new Map([workload('tap1', policy), workload('tap2', policy)]) };
  applyEdits(programmers, renderer.render(change).tables);
  programmers.inet.apply();
  return {
    setOptions(next: Partial<RenderOptions>): void {
      applyEdits(programmers, renderer.setOptions({ ...defaultRenderOptions, ...next }));
      programmers.inet.apply();
    },
    held: () => tables.inet.kernel.content().sets.get(stampSet.name)!.elements,
    send(hook: Hook['hook'], { in: iif = '', out = '', state, reply = false, mark = 0, protocol = 6, dport = 80, foretold = false }: Sent) {
      const bytes = (name: string): Uint8Array => addressBytes((address[name as keyof typeof address] ?? '192.0.2.1') as IpAddress);
      const [began, led] = reply ? [out, iif] : [iif, out];
      const fields = new Map<Field, Uint8Array>([
        ['meta iifname', ifnameBytes(iif)],
        ['meta iif', u32(iif === '' ? 0 : 7)],
        ['meta oifname', ifnameBytes(out)],
        ['ip saddr', bytes(iif)],
        ['ip daddr', bytes(out)],
        ['meta l4proto', Uint8Array.of(protocol)],
        ['th sport', port(9)],
        ['th dport', port(dport)],
        ['ct state', u32(states[state])],
      ]);
      if (state !== 'untracked')
        for (const [field, value] of [
          ['ct mark', u32(mark)],
          ['ct direction', Uint8Array.of(reply ? 1 : 0)],
          ['ct status', u32(foretold ? EXPECTED : 0)],
          ['ct original ip saddr', bytes(began)],
          ['ct reply ip saddr', bytes(led)],
        ] as const)
          fields.set(field, value);
      const { verdict, connectionMark } = tables.inet.evaluate(hook, fields);
      if (verdict === 'drop') return 'drop';
      return state === 'untracked' ? 0 : connectionMark; // the packet belongs to no connection
    },
  };
}

const open = { ingress: true, egress: true };
const icmpError = { state: 'related', protocol: 1 } as const;

/** The verdict on the packet: `drop`, or the connection's mark after the packet has passed. */
const forwarded: readonly (readonly [string, { ingress?: boolean; egress?: boolean }, Sent, number | 'drop'])[] = [
  ['what begins and policy allows is stamped, others’ bits stay', open, { in: 'tap1', out: 'eth0', state: 'new', mark: OTHERS }, OTHERS | E],
  ['what comes from elsewhere and policy allows is stamped', open, { in: 'eth0', out: 'tap1', state: 'new', mark: OTHERS }, OTHERS | I],
  ['between two workloads both sides stamp', open, { in: 'tap1', out: 'tap2', state: 'new' }, E | I],
  ['what policy denies passes with no stamp', {}, { in: 'tap1', out: 'eth0', state: 'new' }, 'drop'],
  ['what was let out goes on, whatever policy says now', {}, { in: 'tap1', out: 'eth0', state: 'established', mark: E }, E],
  ['its answers arrive', {}, { in: 'eth0', out: 'tap1', state: 'established', reply: true, mark: E }, E],
  ['what was let in goes on', {}, { in: 'eth0', out: 'tap1', state: 'established', mark: I }, I],
  ['its answers leave', {}, { in: 'tap1', out: 'eth0', state: 'established', reply: true, mark: I }, I],
  ['both sides’ stamps carry a connection on one host', {}, { in: 'tap1', out: 'tap2', state: 'established', mark: E | I }, E | I],
  ['and back', {}, { in: 'tap2', out: 'tap1', state: 'established', reply: true, mark: E | I }, E | I],
  ['established without a stamp is judged: denied', {}, { in: 'tap1', out: 'eth0', state: 'established' }, 'drop'],
  ['established without a stamp is judged: denied, from elsewhere', {}, { in: 'eth0', out: 'tap1', state: 'established' }, 'drop'],
  ['established without a stamp is judged: allowed, and stamped', open, { in: 'tap1', out: 'tap2', state: 'established' }, E | I],
  [
    'an answer from elsewhere in a connection without a stamp is denied, whatever policy allows',
    open,
    { in: 'eth0', out: 'tap1', state: 'established', reply: true },
    'drop',
  ],
  [
    'an answer of a workload in a connection without a stamp is denied, whatever policy allows',
    open,
    { in: 'tap1', out: 'eth0', state: 'established', reply: true },
    'drop',
  ],
  ['let out, but never let in: denied', { egress: true }, { in: 'tap1', out: 'tap2', state: 'established', mark: E }, 'drop'],
  ['let out, but never let in: no answer', open, { in: 'tap2', out: 'tap1', state: 'established', reply: true, mark: E }, 'drop'],
  ['let in, but never let out: no answer', open, { in: 'tap2', out: 'tap1', state: 'established', reply: true, mark: I }, 'drop'],
  ['the stamp of the other side is none: from a workload', {}, { in: 'tap1', out: 'eth0', state: 'established', mark: I }, 'drop'],
  ['the stamp of the other side is none: to a workload', {}, { in: 'eth0', out: 'tap1', state: 'established', mark: E }, 'drop'],
  ['others’ bits are no stamp', {}, { in: 'tap1', out: 'eth0', state: 'established', mark: ~(E | I) >>> 0 }, 'drop'],
  ['an error about a connection that was let out arrives', {}, { in: 'eth0', out: 'tap1', reply: true, mark: E, ...icmpError }, E],
  ['an error about a connection that was not does not', open, { in: 'eth0', out: 'tap1', reply: true, ...icmpError }, 'drop'],
  ['an error about a connection that was let in leaves', {}, { in: 'tap1', out: 'eth0', reply: true, mark: I, ...icmpError }, I],
  ['an error about a connection that was not does not leave', open, { in: 'tap1', out: 'eth0', reply: true, mark: E, ...icmpError }, 'drop'],
  ['an error about answers leaves with the connection', {}, { in: 'tap1', out: 'eth0', mark: E, ...icmpError }, E],
  [
    'a foretold connection is as the one that foretold it, and stamped for this side',
    {},
    { in: 'eth0', out: 'tap1', state: 'related', foretold: true, mark: E },
    E | I,
  ],
  ['a foretold connection of the workload’s likewise', {}, { in: 'tap1', out: 'eth0', state: 'related', foretold: true, mark: I }, E | I],
  ['foretold by what nobody let through: denied', open, { in: 'eth0', out: 'tap1', state: 'related', foretold: true }, 'drop'],
  ['foretold on one host takes both sides’ stamps', {}, { in: 'tap2', out: 'tap1', state: 'related', foretold: true, mark: E | I }, E | I],
  ['foretold on one host with one side’s stamp: denied', open, { in: 'tap2', out: 'tap1', state: 'related', foretold: true, mark: E }, 'drop'],
  ['a lie about a foretold connection of others is held', {}, { in: 'tap2', out: 'eth0', foretold: true, ...icmpError }, 'drop'],
  ['what is not tracked is judged each time', open, { in: 'tap1', out: 'eth0', state: 'untracked' }, 0],
  ['what is not tracked and not allowed is denied', {}, { in: 'tap1', out: 'eth0', state: 'untracked' }, 'drop'],
  ['others’ connections are others’ business', {}, { in: 'eth0', out: 'eth1', state: 'established', reply: true }, 0],
];

describe('a connection that is forwarded', () => {
  test.each(forwarded)('%s', (_, allows, sent, becomes) => expect(host(allows).send('forward', sent)).toBe(becomes));
});

const toHost: readonly (readonly [string, { egress?: boolean }, Sent, number | 'drop'])[] = [
  ['what policy lets out is stamped', open, { state: 'new' }, E],
  ['is denied without policy', {}, { state: 'new' }, 'drop'],
  ['goes on with its stamp', {}, { state: 'established', mark: E }, E],
  ['is judged without one', {}, { state: 'established' }, 'drop'],
  ['the answer to the host’s own connection passes', {}, { state: 'established', reply: true, mark: I }, I],
  ['the answer in a connection that the host did not begin does not', open, { state: 'established', reply: true }, 'drop'],
  ['an error about the host’s connection passes', {}, { reply: true, mark: I, ...icmpError }, I],
  ['an error about another does not', open, { reply: true, ...icmpError }, 'drop'],
  ['a question to DNS is stamped, so that errors about it pass', {}, { state: 'new', protocol: 17, dport: 53 }, E],
];

describe('a connection between a workload and the host', () => {
  test.each(toHost)('%s', (_, allows, sent, becomes) =>
    expect(host(allows, { endpointToHostAction: 'ACCEPT' }).send('input', { in: 'tap1', ...sent })).toBe(becomes),
  );
  test('what the host’s action drops has no stamp with which it could pass when that is another', () => {
    const there = host(open, { endpointToHostAction: 'DROP' });
    expect(there.send('input', { in: 'tap1', state: 'established', mark: 0 })).toBe('drop');
  });
  test('the host stamps what it begins, and nothing that it forwards or answers', () => {
    const { send } = host({});
    expect(send('postrouting', { out: 'tap1', state: 'new', mark: OTHERS })).toBe(OTHERS | I);
    expect(send('postrouting', { out: 'tap1', state: 'established', mark: 0 })).toBe(I);
    expect(send('postrouting', { out: 'tap1', state: 'established', reply: true })).toBe(0);
    expect(send('postrouting', { in: 'eth0', out: 'tap1', state: 'established' })).toBe(0);
    expect(send('postrouting', { in: 'tap2', out: 'tap1', state: 'new' })).toBe(0);
    expect(send('postrouting', { out: 'eth0', state: 'new' })).toBe(0);
  });
});

describe('while connections of an earlier version are being stamped', () => {
  const earlier = { unstamped: 'pass' } as const;
  test('they pass, and what begins is stamped', () => {
    const { send } = host({ egress: true }, earlier);
    expect(send('forward', { in: 'tap1', out: 'eth0', state: 'established' })).toBe(0);
    expect(send('forward', { in: 'eth0', out: 'tap1', state: 'established', reply: true })).toBe(0);
    expect(send('forward', { in: 'eth0', out: 'tap1', reply: true, ...icmpError })).toBe(0);
    expect(send('forward', { in: 'tap1', out: 'eth0', state: 'new' })).toBe(E);
    expect(send('forward', { in: 'eth0', out: 'tap1', state: 'new' })).toBe('drop');
    expect(send('input', { in: 'tap1', state: 'established', reply: true })).toBe(0);
  });
  test('our table says that stamps are in force only when they are, and which', () => {
    const there = host({}, earlier);
    expect(stampsOf(there.held())).toBe(undefined);
    there.setOptions({});
    expect(stampsOf(there.held())).toEqual({ egress: E, ingress: I });
    expect(there.send('forward', { in: 'tap1', out: 'eth0', state: 'established' })).toBe('drop');
    there.setOptions({ stamps: { egress: 0x400, ingress: 0x80000000 } });
    expect(stampsOf(there.held())).toEqual({ egress: 0x400, ingress: 0x80000000 });
  });
  test('half of what it would say says nothing', () => {
    expect(stampsOf([])).toBe(undefined);
    expect(stampsOf(stampElements(defaultRenderOptions).slice(0, 1))).toBe(undefined);
  });
});
