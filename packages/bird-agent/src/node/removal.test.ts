import { recordingLog } from '@calico-openstack/agent';
import { encodeAgentStatus, felixLastStatusKey, felixStatusKey, resourceKey, rfc3339Seconds } from '@calico-openstack/datamodel';
import type { Etcd } from '@calico-openstack/etcd';
import { fakeEtcd } from '@calico-openstack/etcd/fake';
import { describe, expect, test } from 'vitest';
import { decodeNode } from '../resources/node.ts';
import { isAgentsAlone, registerInNode } from './registration.ts';
import { hostRemoval } from './removal.ts';

const dayMs = 86_400_000;
const nowMs = Date.parse('2026-11-28T00:00:00Z');
const time = (daysAgo: number): string => rfc3339Seconds(new Date(nowMs - daysAgo * dayMs));
const nodeKey = (name: string): string => resourceKey({ plural: 'nodes', name });

/** Sets up hosts by name, with the days since their Felix reported last; 0 when it is alive. `own` is alive unless set otherwise. */
async function setUp(
  reportedDaysAgo: Readonly<Record<string, number | undefined>>,
  change: { sessions?: readonly string[] | undefined; wrap?: (etcd: Etcd) => Etcd } = {},
) {
  const { etcd, connect, contents } = fakeEtcd();
  const nodes = new Map<string, ReturnType<typeof decodeNode>>();
  for (const [index, [name, daysAgo]] of Object.entries({ own: 0, ...reportedDaysAgo }).entries()) {
    const wanted = { ipv4Address: `192.0.2.${index + 1}/24`, ipv6Address: `2001:db8::${index + 1}/64`, asNumber: undefined };
    const made = registerInNode(undefined, name, wanted, () => ({ uid: name, creationTimestamp: time(100) }));
    if (!made.ok || made.value === undefined) throw new Error('no Node');
    await etcd.transact([], [{ put: nodeKey(name), value: made.value }]);
    nodes.set(name, decodeNode(name, Buffer.from(made.value)));
    if (daysAgo === undefined) continue;
    const value = encodeAgentStatus({ time: time(daysAgo), uptimeSeconds: 1, firstUpdate: false });
    const keys = [felixLastStatusKey(undefined, name), ...(daysAgo === 0 ? [felixStatusKey(undefined, name)] : [])];
    await etcd.transact(
      [],
      keys.map((put) => ({ put, value })),
    );
  }
  const clock = { steadyMs: 0 };
  const sessions = 'sessions' in change ? change.sessions : [];
  const removal = hostRemoval({
    etcd: change.wrap?.(etcd) ?? etcd,
    region: undefined,
    ownName: 'own',
    nodes,
    goneMs: 30 * dayMs,
    waitMs: 1000,
    reachable: async (addresses) => sessions && new Set(addresses.filter((address) => sessions.includes(address))),
    log: recordingLog().log,
    clock: { steadyMs: () => clock.steadyMs, nowMs: () => nowMs },
  });
  const left = (): readonly string[] => Object.keys(contents(nodeKey(''))).map((key) => key.split('/').at(-1)!);
  const look = async (afterMs = 1000): Promise<readonly string[]> => {
    clock.steadyMs += afterMs;
    await removal.look();
    return left();
  };
  return { etcd, connect, removal, look, left };
}

const alive = { a: 0, b: 0 };

describe('a Node', () => {
  test.each<readonly [string, number | undefined, boolean]>([
    ['whose host has been gone for longer than is waited goes', 31, true],
    ['whose host has been gone for less stays', 29, false],
    ['whose host never reported stays: perhaps it has no Felix', undefined, false],
    ['whose last report is as old as itself goes', 100, true],
    ['whose last report is older than itself stays: that is a wrong clock', 101, false],
    ['whose host lives stays', 0, false],
  ])('%s', async (_, daysAgo, goes) => {
    const { look } = await setUp({ ...alive, x: daysAgo });
    expect((await look()).includes('x')).toBe(!goes);
  });

  test.each(['192.0.2.4', '2001:db8::4'])('whose address %s BIRD can reach stays', async (address) => {
    const { look } = await setUp({ ...alive, x: 31 }, { sessions: [address] });
    expect(await look()).toContain('x');
  });

  test('whose host’s last report cannot be read stays, and another one goes', async () => {
    const { etcd, look, removal } = await setUp({ ...alive, c: 0, x: 31, y: 31 });
    await etcd.transact([], [{ put: felixLastStatusKey(undefined, 'x'), value: 'no JSON' }]);
    expect(await look()).toEqual(['a', 'b', 'c', 'own', 'x']);
    expect(removal.problems).toEqual([]);
  });

  test('among more hosts than one transaction reads goes too, and each host is read once', async () => {
    const many = Object.fromEntries(Array.from({ length: 118 }, (_, index) => [`h${index}`, 0]));
    let reads = 0;
    const counting = (etcd: Etcd): Etcd => ({
      ...etcd,
      transact(compares, operations) {
        if (compares.length === 0) reads += 1;
        return etcd.transact(compares, operations);
      },
    });
    const { look } = await setUp({ ...many, x: 31 }, { wrap: counting }); // 120 with the own one
    const left = await look();
    expect(left).toHaveLength(119);
    expect(left).not.toContain('x');
    expect(reads).toBe(2);
  });

  test('whose host comes back while it is looked at stays', async () => {
    const { connect, etcd, look } = await setUp(
      { ...alive, x: 31 },
      {
        wrap: (etcd) => ({
          ...etcd,
          async get(key) {
            const found = await etcd.get(key);
            await back();
            return found;
          },
        }),
      },
    );
    const back = (): Promise<unknown> => connect().transact([], [{ put: felixStatusKey(undefined, 'x'), value: '{}' }]);
    expect(await look()).toContain('x');
    expect((await etcd.get(nodeKey('x'))).found).toBeDefined();
  });

  test('is not looked at before the wait is over, and again after an hour', async () => {
    const { etcd, look, removal, left } = await setUp({ ...alive, x: 31 });
    const node = (await etcd.get(nodeKey('x'))).found!.value;
    await removal.look();
    expect(left()).toContain('x');
    expect(await look()).not.toContain('x');
    await etcd.transact([], [{ put: nodeKey('x'), value: node }]);
    expect(await look()).toContain('x');
    expect(await look(3_600_000)).not.toContain('x');
  });
});

test('as many as half of the hosts may go', async () => {
  const { look } = await setUp({ a: 0, x: 31, y: 31 });
  expect(await look()).toEqual(['a', 'own']);
});

describe('none is removed, and that is told,', () => {
  test.each<readonly [string, Parameters<typeof setUp>, string]>([
    ['when more than half seem to be gone', [{ a: 0, x: 31, y: 31, z: 31 }], '3 of 5'],
    ['when the own Felix does not report', [{ ...alive, own: 1, x: 31 }], 'OpenstackRegion'],
    ['when BIRD cannot be asked for its sessions', [{ ...alive, x: 31 }, { sessions: undefined }], 'BIRD'],
  ])('%s', async (_, world, words) => {
    const { look, removal, left } = await setUp(...world);
    const before = left();
    expect(await look()).toEqual(before);
    expect(JSON.stringify(removal.problems)).toContain(words);
  });

  test('while etcd is away', async () => {
    const { etcd, look, removal } = await setUp({ ...alive, x: 31 });
    etcd.cut(true);
    await look();
    expect(removal.problems[0]?.reason).toContain('ETCD_UNAVAILABLE');
    etcd.cut(false);
    expect(await look(59_999)).toContain('x');
    expect(await look(1)).not.toContain('x');
    expect(removal.problems).toEqual([]);
  });
});

test.each<readonly [string, (node: { metadata: Record<string, unknown>; spec: Record<string, unknown> }) => unknown, boolean]>([
  ['made by an agent', (node) => node, true],
  ['with labels', (node) => ({ ...node, metadata: { ...node.metadata, labels: { rack: '1' } } }), false],
  ['with a field of somebody else', (node) => ({ ...node, spec: { bgp: { ...(node.spec['bgp'] as object), routeReflectorClusterID: '1.0.0.1' } } }), false],
  ['with another address than the agent wrote', (node) => ({ ...node, spec: { bgp: { ipv4Address: '192.0.2.9' } } }), false],
  ['with more than BGP', (node) => ({ ...node, spec: { ...node.spec, addresses: [] } }), false],
  ['that no agent has made', ({ spec }) => ({ metadata: {}, spec }), false],
])('a Node %s: an agent’s alone', (_, change, expected) => {
  const made = registerInNode(undefined, 'x', { ipv4Address: '192.0.2.1/24', ipv6Address: undefined, asNumber: undefined }, () => ({
    uid: 'x',
    creationTimestamp: time(1),
  }));
  const text = made.ok ? made.value! : '';
  expect(isAgentsAlone(Buffer.from(JSON.stringify(change(JSON.parse(text)))))).toBe(expected);
});
