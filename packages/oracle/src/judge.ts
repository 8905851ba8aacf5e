// Computes the verdict on one packet, with its reason as data. Endpoints judge one after the other, and each tier by tier, policy by policy, rule by rule.
import { type Address, readAddress, within } from './address.ts';
import { askPath, type HostPath, type PathAnswer } from './host-path.ts';
import { isForbidden, isSomebodys, ownerOf } from './ownership.ts';
import type { PortMatch, ReadRule, Rule, Side } from './rule.ts';
import { type Endpoint, type Kind, type Policy, readWorld, stands, type Tier, unknownTier, type World } from './world.ts';

/** The first packet of a connection. Addresses as text; ports for TCP, UDP and SCTP, type and code for ICMP and ICMPv6. */
export type Packet = {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly icmpType?: number;
  readonly icmpCode?: number;
};

/** Datastore keys of the WorkloadEndpoints that the packet leaves and reaches; without one, that end is outside. */
export type Question = { readonly from?: string; readonly to?: string; readonly packet: Packet };

/** As seen from the endpoint: towards it, or away from it. */
export type Direction = 'ingress' | 'egress';

/** Which rule decided. `index` counts from 0 within the rules of that direction, as they stand in the datastore. */
export type RuleAt =
  | {
      readonly in: 'policy';
      readonly kind: Kind;
      readonly namespace: string;
      readonly name: string;
      readonly tier: string;
      readonly direction: Direction;
      readonly index: number;
    }
  | { readonly in: 'profile'; readonly name: string; readonly direction: Direction; readonly index: number };

/** Why an endpoint allows or denies a packet. */
export type Reason =
  | { readonly because: 'rule'; readonly rule: RuleAt }
  | { readonly because: 'end of tier'; readonly tier: string; readonly policies: readonly string[] }
  | { readonly because: 'profile missing'; readonly profile: string }
  /** At least one rule of the profile is not understood. */
  | { readonly because: 'profile not understood'; readonly profile: string; readonly problem: string }
  | { readonly because: 'no policy and no profile accepts' }
  | { readonly because: 'no policy denies' }
  | { readonly because: 'endpoint unknown'; readonly key: string }
  | { readonly because: 'source not its own' }
  /** The destination address belongs to another endpoint of the host, or may belong to nobody. */
  | { readonly because: 'destination not its own' }
  | { readonly because: 'never from a workload'; readonly what: 'VXLAN' | 'IP in IP' | 'DHCP server' | 'router advertisement' };

/** The verdict of one endpoint in one direction. `passed` lists the Pass rules that sent the packet on to the next tier, in order. */
export type Say = {
  readonly endpoint: string;
  readonly direction: Direction;
  readonly verdict: 'allow' | 'deny';
  readonly reason: Reason;
  readonly passed: readonly RuleAt[];
};

/** The packet is allowed when both endpoints allow it. The first endpoint that denies ends the questions, so `says` may hold one verdict. */
export type Answer = { readonly verdict: 'allow' | 'deny'; readonly says: readonly Say[] };

/** Where a packet meets a host endpoint: at the host's own sockets, when the host forwards it, before connection tracking, or before DNAT. */
export type Place = 'local' | 'forwarded' | 'untracked' | 'before DNAT';

/** A packet at a host endpoint, which is named by its datastore key. */
export type HostQuestion = { readonly hostEndpoint: string; readonly direction: Direction; readonly place: Place; readonly packet: Packet };

/** Answers questions about packets. The methods throw RangeError for a packet that cannot exist: addresses that do not parse, or of two families. */
export interface Oracle {
  /** Whether workloads may exchange the packet. */
  ask(question: Question): Answer;
  /** The verdict of a host endpoint's policies at one place. Failsafe ports are not considered: they belong to the agent's configuration. */
  askHost(question: HostQuestion): Say;
  /** Whether the host endpoints on a packet's way through a host let it pass. */
  askPath(path: HostPath): PathAnswer;
}

/**
 * Reads a whole datastore, and answers questions about it.
 * @param resources datastore keys and values as text
 */
export function createOracle(resources: ReadonlyMap<string, string>): Oracle {
  const world = readWorld(resources);
  const askOne = (question: HostQuestion): Say => askHost(world, question);
  return { ask: (question) => ask(world, question), askHost: askOne, askPath: (path) => askPath(world, askOne, path) };
}

type Judged = { readonly family: 4 | 6; readonly source: Address; readonly destination: Address } & Omit<Packet, 'source' | 'destination'>;

function read({ source: from, destination: to, ...rest }: Packet): Judged {
  const source = readAddress(from);
  const destination = readAddress(to);
  if (!source || !destination || source.family !== destination.family) throw new RangeError(`a packet from ${from} to ${to} cannot be`);
  return { ...rest, family: source.family, source, destination };
}

function ask(world: World, { from, to, packet }: Question): Answer {
  const judged = read(packet);
  const says: Say[] = [];
  for (const [key, direction] of [
    [from, 'egress'],
    [to, 'ingress'],
  ] as const) {
    if (key === undefined) continue;
    const endpoint = world.endpoints.get(key);
    const deny = (reason: Reason): Say => ({ endpoint: key, direction, verdict: 'deny', reason, passed: [] });
    const say = endpoint
      ? ((direction === 'egress' ? sentByWorkload(world, endpoint, judged, deny) : reachesWorkload(world, endpoint, judged, deny)) ??
        judge(world, { ...endpoint, policies: world.policies.filter(isNormal) }, direction, judged))
      : deny({ because: 'endpoint unknown', key });
    says.push(say);
    if (say.verdict === 'deny') return { verdict: 'deny', says };
  }
  return { verdict: 'allow', says };
}

const isNormal = ({ use }: Policy): boolean => use === 'normal';

/**
 * At the host's own sockets, a packet that no policy and no profile allows is denied. At the other places only a policy can deny it, and profiles do not count.
 * Forwarded traffic that a tier's policies govern is denied at the end of the tier.
 */
function askHost(world: World, { hostEndpoint: key, direction, place, packet }: HostQuestion): Say {
  const endpoint = world.hostEndpoints.get(key);
  const judged = read(packet);
  if (!endpoint) return { endpoint: key, direction, verdict: 'deny', reason: { because: 'endpoint unknown', key }, passed: [] };
  switch (place) {
    case 'local':
      return judge(world, { ...endpoint, policies: world.policies.filter(isNormal) }, direction, judged);
    case 'forwarded':
      return judge(
        world,
        { ...endpoint, profiles: undefined, policies: world.policies.filter((policy) => isNormal(policy) && policy.applyOnForward) },
        direction,
        judged,
      );
    case 'untracked':
    case 'before DNAT': {
      const policies = endpoint.everyInterface && place === 'untracked' ? [] : world.policies.filter(({ use }) => use === place);
      return judge(world, { ...endpoint, profiles: undefined, policies, endless: true }, direction, judged);
    }
    default:
      return unreachable(place);
  }
}

const unreachable = (value: never): never => {
  throw new RangeError(`${String(value)} is not a place where a host endpoint judges packets`);
};

/** The verdict on packets that no policy can allow a workload to send: foreign source addresses, tunnels, servers' answers. undefined when policy decides. */
function sentByWorkload(world: World, endpoint: Endpoint, packet: Judged, deny: (reason: Reason) => Say): Say | undefined {
  const linkLocal = packet.family === 6 && packet.source.bits >> 118n === 0x3fan;
  const { host } = endpoint.claimant;
  const claimants = claimantsOf(world);
  const isOwn = ownerOf(packet.source, host, claimants, world.reserved)?.key === endpoint.key;
  const bySpoofing = endpoint.spoofable.some((prefix) => within(prefix, packet.source)) && !isSomebodys(packet.source, host, claimants, world.reserved);
  if (!linkLocal && !isOwn && !bySpoofing) return deny({ because: 'source not its own' });
  const { protocol, sourcePort, destinationPort, icmpType } = packet;
  if (protocol === 17 && destinationPort === 4789) return deny({ because: 'never from a workload', what: 'VXLAN' });
  if (protocol === 4) return deny({ because: 'never from a workload', what: 'IP in IP' });
  const serves = (source: number, destination: number): boolean => protocol === 17 && sourcePort === source && destinationPort === destination;
  if (serves(67, 68) || serves(547, 546)) return deny({ because: 'never from a workload', what: 'DHCP server' });
  if (packet.family === 6 && protocol === 58 && icmpType === 134) return deny({ because: 'never from a workload', what: 'router advertisement' });
  return undefined;
}

const claimantsOf = ({ endpoints }: World): Endpoint['claimant'][] => [...endpoints.values()].map(({ claimant }) => claimant);

/** Denies a packet whose destination address does not belong to the endpoint: it would be delivered elsewhere. undefined when policy decides. */
function reachesWorkload(world: World, endpoint: Endpoint, { destination }: Judged, deny: (reason: Reason) => Say): Say | undefined {
  const owner = ownerOf(destination, endpoint.claimant.host, claimantsOf(world), world.reserved);
  const elsewhere = isForbidden(destination, world.reserved) || (owner !== undefined && owner.key !== endpoint.key);
  return elsewhere ? deny({ because: 'destination not its own' }) : undefined;
}

/** The endpoint whose policy judges. When `profiles` is undefined, profiles do not count and a packet that no policy denies is allowed. When `endless` is set, no tier denies at its end. */
type Subject = {
  readonly key: string;
  readonly labels: Endpoint['labels'];
  readonly policies: readonly Policy[];
  readonly profiles: readonly string[] | undefined;
  readonly endless?: boolean;
};

function judge(world: World, endpoint: Subject, direction: Direction, packet: Judged): Say {
  const passed: RuleAt[] = [];
  const say = (verdict: 'allow' | 'deny', reason: Reason): Say => ({ endpoint: endpoint.key, direction, verdict, reason, passed });
  const selecting = endpoint.policies.filter((policy) => policy.governs[direction] && policy.selects(endpoint.labels));

  for (const tier of [...world.tiers.values()].sort(tierOrder)) {
    const policies = selecting.filter((policy) => policy.tier === tier.name).sort(policyOrder);
    if (policies.length === 0) continue;
    const decision = firstDecision(
      world,
      packet,
      policies.flatMap((policy) => policy[direction].map((rule, index): [ReadRule, RuleAt] => [rule, ruleOf(policy, direction, index)])),
    );
    if (decision?.action === 'allow' || decision?.action === 'deny') return say(decision.action, { because: 'rule', rule: decision.at });
    if (decision) passed.push(decision.at);
    else if (tier.endsIn === 'deny' && !endpoint.endless)
      return say('deny', { because: 'end of tier', tier: tier.name, policies: policies.map((policy) => policy.name) });
  }
  if (!endpoint.profiles) return say('allow', { because: 'no policy denies' });
  for (const name of endpoint.profiles) {
    const profile = world.profiles.get(name);
    if (!profile) return say('deny', { because: 'profile missing', profile: name });
    const problem = [...profile.ingress, ...profile.egress].find((rule) => rule.problem)?.problem;
    if (problem) return say('deny', { because: 'profile not understood', profile: name, problem });
    const decision = firstDecision(
      world,
      packet,
      profile[direction].map((rule, index): [ReadRule, RuleAt] => [rule, { in: 'profile', name, direction, index }]),
    );
    if (decision?.action === 'allow' || decision?.action === 'deny') return say(decision.action, { because: 'rule', rule: decision.at });
    if (decision) passed.push(decision.at);
  }
  return say('deny', { because: 'no policy and no profile accepts' });
}

const ruleOf = ({ kind, namespace, name, tier }: Policy, direction: Direction, index: number): RuleAt => ({
  in: 'policy',
  kind,
  namespace,
  name,
  tier,
  direction,
  index,
});

/** Byte order of the UTF-8 text. */
const compareText = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
const compareNumbers = (a: number, b: number): number => (a < b ? -1 : a > b ? 1 : 0);

/** Policies whose tier is not understood come first. Tiers that exist come before tiers that policies name but nobody defined. */
const tierOrder = (a: Tier, b: Tier): number =>
  compareNumbers(Number(a.name !== unknownTier), Number(b.name !== unknownTier)) ||
  compareNumbers(Number(!a.exists), Number(!b.exists)) ||
  compareNumbers(a.order, b.order) ||
  compareText(a.name, b.name);

const policyOrder = (a: Policy, b: Policy): number =>
  compareNumbers(a.order, b.order) || compareText(`${a.name}/${a.namespace}/${a.kind}`, `${b.name}/${b.namespace}/${b.kind}`);

/** The action of the first matching rule that is not a Log. undefined when no rule decides. */
function firstDecision(
  world: World,
  packet: Judged,
  rules: readonly [ReadRule, RuleAt][],
): { readonly action: 'allow' | 'deny' | 'pass'; readonly at: RuleAt } | undefined {
  for (const [{ matches: rule }, at] of rules) if (rule && rule.action !== 'log' && matches(world, rule, packet)) return { action: rule.action, at };
  return undefined;
}

function matches(world: World, rule: Rule, packet: Judged): boolean {
  if (rule.ipVersion !== undefined && rule.ipVersion !== packet.family) return false;
  if (rule.protocol !== undefined && rule.protocol !== packet.protocol) return false;
  if (rule.notProtocol !== undefined && rule.notProtocol === packet.protocol) return false;
  const isIcmp = packet.protocol === (packet.family === 4 ? 1 : 58);
  const same = (icmp: { readonly type: number; readonly code?: number }): boolean =>
    packet.icmpType === icmp.type && (icmp.code === undefined || packet.icmpCode === icmp.code);
  if (rule.icmp && !(isIcmp && same(rule.icmp))) return false;
  if (rule.notIcmp && !(isIcmp && !same(rule.notIcmp))) return false;
  return (
    sideMatches(world, rule.source, packet.source, packet.sourcePort, packet) &&
    sideMatches(world, rule.destination, packet.destination, packet.destinationPort, packet)
  );
}

function sideMatches(world: World, side: Side, address: Address, port: number | undefined, { protocol, family }: Judged): boolean {
  const { nets, notNets, selected, notSelected, ports, notPorts } = side;
  if (nets && !nets.some((net) => within(net, address))) return false;
  if (notNets) {
    // A list without a prefix of the packet's family keeps the rule from matching in that family. A negated prefix of length 0 matches nothing.
    const own = notNets.filter((net) => net.family === family);
    if (own.length === 0 || own.some((net) => net.length === 0 || within(net, address))) return false;
  }
  if (selected && !stands(world, selected, address, within)) return false;
  if (notSelected && stands(world, notSelected, address, within)) return false;
  const portIs = (match: PortMatch): boolean => {
    if (!('name' in match)) return port !== undefined && port >= match.first && port <= match.last;
    return world.contributors.some(
      (contributor) =>
        (!selected || selected(contributor.labels)) &&
        contributor.prefixes.some((prefix) => prefix.family === address.family && prefix.bits === address.bits) &&
        contributor.ports.some((named) => named.name === match.name && named.protocol === protocol && named.port === port),
    );
  };
  if (ports && !ports.some(portIs)) return false;
  return !notPorts?.some(portIs);
}
