// Decides which Node owns an address that several Nodes have: the one whose host claimed it last. Without any claim the older Node owns it, so that a new one takes no session from an existing one.
// A living host claims its addresses when another Node has one of them. Nobody does so for the old Node of a host that was renamed or rebuilt.
import type { IpAddress, IpFamily } from '@calico-openstack/addresses';
import type { Node } from '../resources/node.ts';
import type { Problem } from './facts.ts';
import { commonEnds } from './kept.ts';

const families = [4, 6] as const satisfies readonly IpFamily[];

/** Whether `a` owns an address that both Nodes have. */
function beats(a: Node, b: Node): boolean {
  if (a.claimedMs !== b.claimedMs) return a.claimedMs > b.claimedMs;
  const [made, otherMade] = [a, b].map(({ madeMs }) => madeMs ?? Number.POSITIVE_INFINITY) as [number, number];
  return made === otherMade ? a.name < b.name : made < otherMade;
}

/** The Nodes in their order, each without the addresses that belong to others: to this host (`ownAddresses`) or to a Node that beats it. Cost: what differs from the last call. */
export function settleClaims(nodes: readonly Node[], ownName: string, ownAddresses: ReadonlySet<IpAddress>, problems: Problem[]): readonly Node[] {
  const { claimants, contested } = claimantsOf(nodes);
  const holders = new Map(
    [...contested].map((address) => [address, [...claimants.get(address)!].reduce((holder, node) => (beats(node, holder) ? node : holder))]),
  );
  const touched = new Set([...contested, ...[...ownAddresses].filter((address) => claimants.has(address))].flatMap((address) => [...claimants.get(address)!]));
  if (touched.size === 0) return nodes;
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

/** Who names which address, as of the last call: thousands of Nodes stay the same objects while one changes. */
type Claimants = { nodes: readonly Node[]; readonly claimants: Map<IpAddress, Set<Node>> /** Those that several name. */; readonly contested: Set<IpAddress> };
const known: Claimants = { nodes: [], claimants: new Map(), contested: new Set() };

function claimantsOf(nodes: readonly Node[]): Claimants {
  const { claimants, contested } = known;
  const { gone, come } = differenceOf(known.nodes, nodes);
  for (const node of gone) {
    for (const address of addressesOf(node)) {
      const naming = claimants.get(address)!;
      naming.delete(node);
      if (naming.size < 2) contested.delete(address);
      if (naming.size === 0) claimants.delete(address);
    }
  }
  for (const node of come) {
    for (const address of addressesOf(node)) {
      const naming = claimants.get(address) ?? new Set();
      claimants.set(address, naming.add(node));
      if (naming.size > 1) contested.add(address);
    }
  }
  known.nodes = nodes;
  return known;
}

const addressesOf = ({ addresses }: Node): readonly IpAddress[] => families.flatMap((family) => addresses[family]?.address ?? []);

/** Which objects are in one list alone. */
function differenceOf(before: readonly Node[], after: readonly Node[]): { readonly gone: readonly Node[]; readonly come: readonly Node[] } {
  const { first, last } = commonEnds(before, after);
  const [had, has] = [before.slice(first, before.length - last), after.slice(first, after.length - last)];
  const [hadOnce, hasOnce] = [new Set(had), new Set(has)];
  return { gone: had.filter((node) => !hasOnce.has(node)), come: has.filter((node) => !hadOnce.has(node)) };
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
export function rivalClaimMs(nodes: Iterable<Node>, ownName: string, own: Node | undefined, ownAddresses: ReadonlySet<IpAddress>): number | undefined {
  let latest: number | undefined;
  for (const node of nodes) {
    if (node.name === ownName || !families.some((family) => node.addresses[family] && ownAddresses.has(node.addresses[family].address))) continue;
    if (!own || beats(node, own)) latest = Math.max(latest ?? 0, node.claimedMs);
  }
  return latest;
}
