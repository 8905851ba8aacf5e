import { addressBytes, type Cidr, type IpAddress } from '@calico-openstack/addresses';
import {
  type DesiredChange,
  type IpSetChange,
  type IpSetId,
  type LocalWorkload,
  noChange,
  type Policy,
  type PolicyId,
  type Rule,
  type WorkloadId,
} from '@calico-openstack/datamodel';
import type { Field, FlowRecord, FlowSides, Packet } from '@calico-openstack/kernel';
import { fakeTable } from '@calico-openstack/kernel/nftables/table.fake';
import { applyEdits, defaultRenderOptions, Renderer, type RenderOptions } from '@calico-openstack/render';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConcernedAddresses } from './concerned.ts';
import { createJudge } from './judge.ts';
import { rememberVerdicts } from './remembered.ts';

const rule = (more: Partial<Rule> = {}): Rule => ({ action: 'allow', source: {}, destination: {}, ...more });
const policyOf = (name: string, ingress: readonly Rule[], egress: readonly Rule[] = []): Policy => ({
  id: `NetworkPolicy/openstack/${name}` as PolicyId,
  tier: 'default',
  ingress,
  egress,
});

function workload(number: number, policies: readonly Policy[], more: Partial<LocalWorkload> = {}): LocalWorkload {
  const tiers = [{ tier: 'default', policies: policies.map(({ id }) => id), endAction: 'deny' as const }];
  const addresses = [`10.0.0.${number}/32`, `fd00::${number}/128`] as Cidr[];
  return {
    id: `w${number}` as WorkloadId,
    orchestrator: 'openstack',
    workload: `w${number}`,
    endpoint: `w${number}`,
    interfaceName: `tap${number}`,
    addresses,
    routed: addresses,
    ipNats: [],
    allowSpoofedSourcePrefixes: [],
    policy: { ingress: tiers, egress: tiers, profiles: [] },
    ...more,
  };
}

const changeOf = (policies: readonly Policy[], workloads: readonly LocalWorkload[], ipSets: [IpSetId, IpSetChange][] = []): DesiredChange => ({
  ...noChange,
  ipSets: new Map(ipSets),
  policies: new Map(policies.map((policy) => [policy.id, policy])),
  workloads: new Map(workloads.map((each) => [each.id, each])),
});

const [friends, foes, others] = ['friends', 'foes', 'others'] as IpSetId[] as [IpSetId, IpSetId, IpSetId];
const members = (added: string[], removed: string[]): IpSetChange => ({
  change: 'members',
  kind: 'addresses',
  added: added as Cidr[],
  removed: removed as Cidr[],
});
const ssh = rule({ protocol: 6, destination: { ports: [{ first: 22, last: 22 }] } });
const fromFriends = rule({ source: { sets: [friends] } });
const noFoes = rule({ source: { notSets: [foes] } });
const web = policyOf('web', [ssh, fromFriends, noFoes]);
const db = policyOf('db', [rule({ source: { sets: [others] } })]);
const first = ['10.0.0.1', 'fd00::1'];
const second = ['10.0.0.2', 'fd00::2'];

describe('whose connections a change concerns', () => {
  test.each<[string, Partial<DesiredChange>, readonly string[]]>([
    ['nothing', {}, []],
    ['a rule that goes', { policies: new Map([[web.id, policyOf('web', [ssh, noFoes])]]) }, first],
    ['a rule that comes and allows', { policies: new Map([[web.id, policyOf('web', [rule({ protocol: 17 }), ssh, fromFriends, rule(), noFoes])]]) }, []],
    ['a rule that comes and denies', { policies: new Map([[web.id, policyOf('web', [rule({ action: 'deny' }), ssh, fromFriends, noFoes])]]) }, first],
    ['a rule that comes and passes on', { policies: new Map([[web.id, policyOf('web', [rule({ action: 'pass' }), ssh, fromFriends, noFoes])]]) }, first],
    ['rules in another order', { policies: new Map([[web.id, policyOf('web', [fromFriends, ssh, noFoes])]]) }, first],
    ['a rule of the other direction', { policies: new Map([[db.id, policyOf('db', db.ingress, [ssh])]]) }, []],
    ['a policy that goes', { policies: new Map([[web.id, undefined]]) }, first],
    ['a policy of nobody', { policies: new Map([['NetworkPolicy/openstack/new' as PolicyId, policyOf('new', [])]]) }, []],
    ['a member that leaves', { ipSets: new Map([[friends, members([], ['192.0.2.1/32'])]]) }, ['192.0.2.1']],
    ['a member that joins those who are let in', { ipSets: new Map([[friends, members(['192.0.2.1/32'], [])]]) }, []],
    ['a member that joins those who are not', { ipSets: new Map([[foes, members(['192.0.2.1/32'], [])]]) }, ['192.0.2.1']],
    ['a prefix that leaves', { ipSets: new Map([[others, members([], ['192.0.2.0/24'])]]) }, second],
    ['a set that is another', { ipSets: new Map([[others, { change: 'whole', kind: 'addresses', members: new Set<Cidr>() }]]) }, second],
    ['an endpoint under other policies', { workloads: new Map([['w2' as WorkloadId, workload(2, [web])]]) }, second],
    ['an endpoint that is new', { workloads: new Map([['w3' as WorkloadId, workload(3, [db])]]) }, ['10.0.0.3', 'fd00::3']],
    ['an endpoint that is gone', { workloads: new Map([['w2' as WorkloadId, undefined]]) }, []],
  ])('%s', (_, change, concerned) => {
    const addresses = new ConcernedAddresses();
    addresses.note(changeOf([web, db], [workload(1, [web]), workload(2, [db])]));
    expect(addresses.take()).toBe('all');
    addresses.note({ ...noChange, ...change });
    expect([...(addresses.take() as ReadonlySet<IpAddress>)].sort()).toEqual([...concerned].sort());
    expect(addresses.take()).toEqual(new Set());
  });
});

const bytes = (address: string): Uint8Array => addressBytes(address as IpAddress);
const key = (address: string): string => String.fromCharCode(...bytes(address));
const sides = (source: string, destination: string, destinationPort = 22): FlowSides => ({
  source: bytes(source),
  destination: bytes(destination),
  sourcePort: 999,
  destinationPort,
});
const { egress: E, ingress: I } = defaultRenderOptions.stamps;
const CUT = { mark: 0, mask: E | I };

function flow(from: string, to: string, more: Partial<FlowRecord> & { readonly port?: number } = {}): FlowRecord {
  const { port = 22, ...rest } = more;
  return { family: from.includes(':') ? 6 : 4, protocol: 6, original: sides(from, to, port), reply: sides(to, from), mark: E | I, ...rest };
}

/** Endpoint one allows SSH in and everything out. Endpoint two allows everything in and nothing out, and has a floating IP. The host is 192.0.2.1. */
function judge(options: Partial<RenderOptions> = {}) {
  const tables = { inet: fakeTable('inet', 'calico-felix').table, arp: fakeTable('arp', 'calico-felix').table };
  const renderer = new Renderer({ ...defaultRenderOptions, endpointToHostAction: 'ACCEPT', ...options });
  applyEdits(tables, renderer.start());
  const [in22, inAll] = [policyOf('one', [ssh], [rule()]), policyOf('two', [rule()])];
  const external = '10.9.0.2' as IpAddress;
  const two = workload(2, [inAll], {
    ipNats: [{ internal: '10.0.0.2' as IpAddress, external }],
    routed: ['10.0.0.2/32', 'fd00::2/128', `${external}/32`] as Cidr[],
  });
  applyEdits(tables, renderer.render(changeOf([in22, inAll], [workload(1, [in22]), two])).tables);
  const names: Record<string, string> = { '10.0.0.1': 'tap1', 'fd00::1': 'tap1', '10.0.0.2': 'tap2', 'fd00::2': 'tap2' };
  const interfaces = new Map(
    Object.entries(names).map(([address, name]) => [key(address), Uint8Array.from({ length: 16 }, (_, at) => name.charCodeAt(at) || 0)]),
  );
  return createJudge(tables.inet.rules, defaultRenderOptions.stamps, {
    interfaceOf: (address) => interfaces.get(address),
    isOwn: (address) => address === key('192.0.2.1'),
  });
}

describe('what becomes of a connection under the policy in force', () => {
  test.each<[string, FlowRecord, ReturnType<ReturnType<typeof judge>>]>([
    ['let in: goes on', flow('192.0.2.9', '10.0.0.1', { mark: I }), undefined],
    ['let in, in IPv6: goes on', flow('2001:db8::9', 'fd00::1', { mark: I }), undefined],
    ['let in no more: cut', flow('192.0.2.9', '10.0.0.1', { port: 23 }), CUT],
    ['cut before: nothing to do', flow('192.0.2.9', '10.0.0.1', { port: 23, mark: 0 }), undefined],
    ['not TCP: cut, and soon forgotten', flow('192.0.2.9', '10.0.0.1', { port: 23, protocol: 17 }), { ...CUT, timeoutSeconds: 2 }],
    ['let out: goes on', flow('10.0.0.1', '192.0.2.9', { mark: E }), undefined],
    ['let out no more: cut', flow('10.0.0.2', '192.0.2.9', { mark: E }), CUT],
    ['let out and in: goes on', flow('10.0.0.1', '10.0.0.2'), undefined],
    ['let in, but not out: cut', flow('10.0.0.2', '10.0.0.1'), CUT],
    ['let out, to a workload that came here meanwhile: stamped for it', flow('10.0.0.1', '10.0.0.2', { mark: E }), { mark: I, mask: I }],
    ['of the host’s own: goes on, whatever policy says', flow('192.0.2.1', '10.0.0.1', { port: 23, mark: I }), undefined],
    ['to the host, let out: goes on', flow('10.0.0.1', '192.0.2.1', { mark: E }), undefined],
    ['to the host, let out no more: cut', flow('10.0.0.2', '192.0.2.1', { mark: E }), CUT],
    ['to the host’s DNS: goes on', flow('10.0.0.2', '192.0.2.1', { port: 53, mark: E }), undefined],
    ['of others: not ours', flow('192.0.2.8', '192.0.2.9', { mark: 0 }), undefined],
    ['through a floating IP: as to its address', flow('192.0.2.9', '10.9.0.2', { mark: I, reply: sides('10.0.0.2', '192.0.2.9') }), undefined],
    ['through a floating IP that leads elsewhere now: deleted', flow('192.0.2.9', '10.9.0.2', { mark: I, reply: sides('10.0.0.3', '192.0.2.9') }), 'delete'],
    ['foretold by one that is let in: goes on', flow('10.0.0.2', '192.0.2.9', { master: { ...sides('192.0.2.9', '10.0.0.1'), protocol: 6 } }), undefined],
    ['foretold by one that is not: cut', flow('10.0.0.1', '192.0.2.9', { master: { ...sides('192.0.2.9', '10.0.0.1', 23), protocol: 6 } }), CUT],
  ])('%s', (_, connection, becomes) => expect(judge()(connection)).toEqual(becomes));

  test('DefaultEndpointToHostAction that is tightened cuts what it let through', () => {
    const connection = flow('10.0.0.1', '192.0.2.1', { mark: E });
    expect([judge()(connection), judge({ endpointToHostAction: 'DROP' })(connection)]).toEqual([undefined, CUT]);
  });
  test('tunnels that workloads may send no more are cut', () => {
    const tunnel = flow('10.0.0.1', '192.0.2.9', { mark: E, protocol: 17, port: 4789 });
    expect([judge({ allowVxlanFromWorkloads: true })(tunnel), judge()(tunnel)]).toEqual([undefined, { ...CUT, timeoutSeconds: 2 }]);
  });
});

const fields = ['th dport', 'meta l4proto', 'ip saddr'] as const satisfies Field[];

test('a verdict that is remembered is the one that would be made, whatever it is made of', () => {
  const packet = fc.record({ 'th dport': fc.option(fc.nat(2)), 'meta l4proto': fc.nat(1), 'ip saddr': fc.nat(3) });
  fc.assert(
    fc.property(fc.array(packet, { maxLength: 30 }), fc.func(fc.constantFrom(...fields, 'stop')), (packets, next) => {
      let made = 0;
      /** The field that is read next depends on the values so far. */
      const decide = (asked: Pick<Packet, 'get' | 'has'>): string => {
        made += 1;
        let found = '';
        for (let step = 0; step < 5; step++) {
          const field = next(found);
          if (field === 'stop') break;
          found += `${field}=${asked.get(field)?.[0] ?? 'none'};`;
        }
        return found;
      };
      const remembered = rememberVerdicts(decide);
      for (const values of packets) {
        const asked = new Map(fields.flatMap((field) => (values[field] === null ? [] : [[field, Uint8Array.of(values[field] as number)] as const])));
        expect(remembered(asked)).toBe(decide(asked));
      }
      const before = made;
      for (const values of packets)
        remembered(new Map(fields.flatMap((field) => (values[field] === null ? [] : [[field, Uint8Array.of(values[field] as number)] as const]))));
      expect(made).toBe(before);
    }),
  );
});
