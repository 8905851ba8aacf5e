// The verdict on one packet, with the reason as data: endpoint by endpoint, direction by direction, tier by tier, rule by rule.
import { type Address, readAddress, within } from './address.ts';
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

export type Direction = 'ingress' | 'egress';

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

export type Reason =
  | { readonly because: 'rule'; readonly rule: RuleAt }
  | { readonly because: 'end of tier'; readonly tier: string; readonly policies: readonly string[] }
  | { readonly because: 'profile missing'; readonly profile: string }
  /** One rule of it that is not understood is enough. */
  | { readonly because: 'profile not understood'; readonly profile: string; readonly problem: string }
  | { readonly because: 'no policy and no profile accepts' }
  | { readonly because: 'no policy denies' }
  | { readonly because: 'endpoint unknown'; readonly key: string }
  | { readonly because: 'source not its own' }
  /** Another endpoint of its host has it, or nobody may. */
  | { readonly because: 'destination not its own' }
  | { readonly because: 'never from a workload'; readonly what: 'VXLAN' | 'IP in IP' | 'DHCP server' | 'router advertisement' };

/** One endpoint's say. `passed`: rules that let the packet go on to the next tier, in order. */
export type Say = {
  readonly endpoint: string;
  readonly direction: Direction;
  readonly verdict: 'allow' | 'deny';
  readonly reason: Reason;
  readonly passed: readonly RuleAt[];
};

/** Allowed when every endpoint concerned allows. After the first that denies, nobody is asked. */
export type Answer = { readonly verdict: 'allow' | 'deny'; readonly says: readonly Say[] };

/** Where a packet meets a host endpoint: at the host's own sockets, on its way through, before it is tracked, before DNAT. */
export type Place = 'local' | 'forwarded' | 'untracked' | 'before DNAT';

export type HostQuestion = { readonly hostEndpoint: string; readonly direction: Direction; readonly place: Place; readonly packet: Packet };

export interface Oracle {
  ask(question: Question): Answer;
  /** What a host endpoint's policies say of a packet at one place; failsafe ports, which come before them, are the agent's configuration. */
  askHost(question: HostQuestion): Say;
}

/** @param resources datastore keys and values as text */
export function createOracle(resources: ReadonlyMap<string, string>): Oracle {
  const world = readWorld(resources);
  return { ask: (question) => ask(world, question), askHost: (question) => askHost(world, question) };
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

/** Only at the host's own sockets is what nobody allows denied; elsewhere, only what a policy denies. Forwarded traffic that a tier governs meets the tier's end. */
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
  throw new RangeError(`${String(value)} is no place`);
};

/** What no policy can allow a workload to send. */
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

/** A packet goes to whom the address belongs to. */
function reachesWorkload(world: World, endpoint: Endpoint, { destination }: Judged, deny: (reason: Reason) => Say): Say | undefined {
  const owner = ownerOf(destination, endpoint.claimant.host, claimantsOf(world), world.reserved);
  const elsewhere = isForbidden(destination, world.reserved) || (owner !== undefined && owner.key !== endpoint.key);
  return elsewhere ? deny({ because: 'destination not its own' }) : undefined;
}

/** What is asked of policy. `profiles` undefined: none are asked, and what no policy denies is allowed. `endless`: no tier denies at its end. */
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

/** Byte by byte. */
const compareText = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
const compareNumbers = (a: number, b: number): number => (a < b ? -1 : a > b ? 1 : 0);

/** First the place of policies whose tier is not understood; tiers that exist come before those that are only named. */
const tierOrder = (a: Tier, b: Tier): number =>
  compareNumbers(Number(a.name !== unknownTier), Number(b.name !== unknownTier)) ||
  compareNumbers(Number(!a.exists), Number(!b.exists)) ||
  compareNumbers(a.order, b.order) ||
  compareText(a.name, b.name);

const policyOrder = (a: Policy, b: Policy): number =>
  compareNumbers(a.order, b.order) || compareText(`${a.name}/${a.namespace}/${a.kind}`, `${b.name}/${b.namespace}/${b.kind}`);

/** The first rule that matches and is not a Log. */
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
    // A list without a prefix of this family keeps the rule out of the family; a negated "everything" matches nothing.
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
