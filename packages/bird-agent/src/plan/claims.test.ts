import { decoded } from '@calico-openstack/datamodel';
import { describe, expect, test } from 'vitest';
import { claimedAnnotation, decodeNode, type Node } from '../resources/node.ts';
import { createNodeIndex, type NodeIndex } from '../resources/node-index.ts';
import { bytes } from '../testing/bytes.ts';
import { rivalClaimMs, settleClaims } from './claims.ts';
import type { Problem } from './facts.ts';

function node(name: string, address: string, more: { made?: string; claimed?: string; ipv6Address?: string } = {}): Node {
  const { made, claimed, ipv6Address } = more;
  const metadata = { ...(made && { creationTimestamp: made }), ...(claimed && { annotations: { [claimedAnnotation]: claimed } }) };
  const decoded = decodeNode(name, bytes({ bgp: { ipv4Address: address, ...(ipv6Address && { ipv6Address }) } }, metadata));
  if (!decoded.ok) throw new Error(decoded.reason);
  return decoded.value;
}
function indexOf(nodes: readonly Node[]): NodeIndex {
  const index = createNodeIndex();
  for (const each of nodes) index.replace(each.name, undefined, decoded(each));
  return index;
}
/** Settles the claims of these Nodes, none of which belongs to this host. */
const settle = (nodes: readonly Node[], ownAddresses: ReadonlySet<never>, problems: Problem[]): readonly Node[] =>
  settleClaims(nodes, indexOf(nodes), 'own', ownAddresses, problems);
const [early, late] = ['2026-01-01T00:00:00Z', '2026-02-01T00:00:00Z'];
const shared = '192.0.2.7';

describe('of two Nodes with one address', () => {
  test.each<readonly [string, Parameters<typeof node>[2], Parameters<typeof node>[2], string]>([
    ['the one that was claimed later has it', { claimed: late }, { claimed: early }, 'a'],
    ['the one that was claimed has it, though it is younger', { made: early }, { made: late, claimed: late }, 'b'],
    ['the older has it where none was claimed: what is added takes nothing from what runs', { made: late }, { made: early }, 'b'],
    ['one that says when it was made has it before one that does not', {}, { made: late }, 'b'],
    ['the first by name has it where nothing tells them apart', {}, {}, 'a'],
  ])('%s', (_, first, second, winner) => {
    const problems: Problem[] = [];
    const settled = settle([node('a', shared, first), node('b', shared, second)], new Set(), problems);
    expect(settled.filter(({ addresses }) => addresses[4]).map(({ name }) => name)).toEqual([winner]);
    expect(problems).toMatchObject([
      { key: `Node ${winner === 'a' ? 'b' : 'a'}`, reason: expect.stringContaining(`${shared} is the address of another Node, ${winner}`) },
    ]);
  });
  test('the loser keeps its address in the other family', () => {
    const [, loser] = settle([node('a', shared), node('b', shared, { ipv6Address: '2001:db8::2' })], new Set(), []);
    expect(loser!.addresses).toMatchObject({ 4: undefined, 6: { address: '2001:db8::2' } });
  });
});

test('an address of this host’s is nobody else’s, whoever claims it', () => {
  const problems: Problem[] = [];
  const [other] = settle([node('old', shared, { claimed: late })], new Set([shared as never]), problems);
  expect(other!.addresses[4]).toBeUndefined();
  expect(problems[0]?.reason).toContain('is the address of this host, own');
});

describe('a host claims its addresses', () => {
  const own = node('own', shared, { made: early });
  const addresses = new Set([shared as never]);
  test.each<readonly [string, readonly Node[], Node | undefined, number | undefined]>([
    ['not when nobody else has them', [own, node('x', '192.0.2.8')], own, undefined],
    ['not when it has them anyhow', [own, node('x', shared, { made: late })], own, undefined],
    ['when a claim is later than its own', [own, node('x', shared, { claimed: late })], own, Date.parse(late!)],
    ['when an older Node has them', [node('x', shared, { made: '2025-01-01T00:00:00Z' })], own, 0],
    ['when it has no Node yet', [node('x', shared)], undefined, 0],
  ])('%s', (_, nodes, mine, expected) => expect(rivalClaimMs(indexOf(nodes), 'own', mine, addresses)).toBe(expected));
});
