// Decides which Node owns an address that several Nodes have: the one whose host claimed it last. Without any claim the older Node owns it, so that a new one takes no session from an existing one.
// A living host claims its addresses when another Node has one of them. Nobody does so for the old Node of a host that was renamed or rebuilt.
import type { IpAddress, IpFamily } from '@calico-openstack/addresses';
import type { Node } from '../resources/node.ts';
import type { NodeIndex } from '../resources/node-index.ts';
import type { Problem } from './facts.ts';

const families = [4, 6] as const satisfies readonly IpFamily[];

/** Whether `a` owns an address that both Nodes have. */
function beats(a: Node, b: Node): boolean {
  if (a.claimedMs !== b.claimedMs) return a.claimedMs > b.claimedMs;
  const [made, otherMade] = [a, b].map(({ madeMs }) => madeMs ?? Number.POSITIVE_INFINITY) as [number, number];
  return made === otherMade ? a.name < b.name : made < otherMade;
}

/**
 * The Nodes, each without the addresses that belong to others: to this host (`ownAddresses`) or to a Node that beats it.
 * @param nodes sorted by name, without this host's own
 * @param index of all Nodes
 */
export function settleClaims(
  nodes: readonly Node[],
  { claimants, contested }: Pick<NodeIndex, 'claimants' | 'contested'>,
  ownName: string,
  ownAddresses: ReadonlySet<IpAddress>,
  problems: Problem[],
): readonly Node[] {
  const holders = new Map(
    [...contested].map((address) => [address, [...claimants.get(address)!].reduce((holder, node) => (beats(node, holder) ? node : holder))]),
  );
  const touched = new Set([...contested, ...[...ownAddresses].filter((address) => claimants.has(address))].flatMap((address) => [...claimants.get(address)!]));
  if ([...touched].every(({ name }) => name === ownName)) return nodes;
  return nodes.map((node) => {
    if (!touched.has(node)) return node;
    const lost = families.filter((family) => {
      const address = node.addresses[family]?.address;
      return address !== undefined && (ownAddresses.has(address) || (holders.get(address) ?? node) !== node);
    });
    if (lost.length === 0) return node;
    for (const family of lost) problems.push(lostProblem(node, node.addresses[family]!.address, holders, ownName, ownAddresses));
    const left = (family: IpFamily) => (lost.includes(family) ? undefined : node.addresses[family]);
    return { ...node, addresses: { 4: left(4), 6: left(6) } };
  });
}

function lostProblem(node: Node, address: IpAddress, holders: ReadonlyMap<IpAddress, Node>, ownName: string, ownAddresses: ReadonlySet<IpAddress>): Problem {
  const holder = ownAddresses.has(address) ? ownName : holders.get(address)!.name;
  return {
    key: `Node ${node.name}`,
    reason: `${address} is the address of ${ownAddresses.has(address) ? 'this host' : 'another Node'}, ${holder}: is it what is left of a host that was renamed or built anew?`,
    effect: 'no session with it; delete the Node if its host is no more',
  };
}

/**
 * When another Node last claimed an address of this host (`ownAddresses`) that it owns thereby; 0 for a Node that never claimed it; undefined when this host owns all its addresses.
 * @param own undefined when this host has no Node yet, so that any other Node owns them
 */
export function rivalClaimMs(
  { claimants }: Pick<NodeIndex, 'claimants'>,
  ownName: string,
  own: Node | undefined,
  ownAddresses: ReadonlySet<IpAddress>,
): number | undefined {
  let latest: number | undefined;
  for (const address of ownAddresses)
    for (const node of claimants.get(address) ?? []) {
      if (node.name === ownName) continue;
      if (!own || beats(node, own)) latest = Math.max(latest ?? 0, node.claimedMs);
    }
  return latest;
}
