// Renders host endpoints: policy on the host's own interfaces. Every chain here is at a hook of its own and exists only while a host endpoint needs it, so that a host without host endpoints
// pays nothing for them. The chains come before those that judge workloads.
//
//   from outside:   raw-prerouting (before connection tracking) ─► pre-dnat ─► (NAT) ─┬─► input ────► the host's sockets
//                                                                                    └─► forward ──► ingress of the one interface, egress of the other
//   from the host:  raw-output ─► (NAT) ─► output ─► postrouting (packets whose destination was translated: only there is the interface known that they leave by)
//
// When a policy before connection tracking or before NAT allows a packet, no later policy of the interface by which it came in judges it: the accept mark stays, and later chains pass the
// packet. Failsafe ports, neighbour discovery and established connections are accepted before the lookup of the interface, in the same chain, whatever state any policy is in.
import type { EndpointPolicy, LocalHostEndpoint } from '@calico-openstack/datamodel';
import type { Hook, NftChain, NftRule, NftSet, Statement } from '@calico-openstack/kernel/nftables/objects';
import { type Classes, type ClassKind, classMap } from './classes.ts';
import { mergePorts } from './constants.ts';
import type { EditList } from './edits.ts';
import type { Direction } from './names.ts';
import type { FailsafePort, RenderOptions } from './options.ts';
import {
  accept,
  byte,
  clearMark,
  connectionIs,
  equal,
  goBack,
  goTo,
  ifnameBytes,
  inCidr,
  jump,
  l4proto,
  markHas,
  nameBegins,
  portRange,
  rule,
  u32,
} from './statements.ts';

/** The key of the host endpoint for every interface that has none of its own. No interface has this name. */
export const everyInterface = '*';

/** A place where host endpoints have policies, with the direction as seen from the host. */
type Spot = {
  readonly name: string;
  readonly direction: Direction;
  readonly kind: ClassKind;
  readonly policyOf: (endpoint: LocalHostEndpoint) => EndpointPolicy;
};

const local = (direction: Direction): Spot => ({ name: `host-local-${direction}`, direction, kind: 'host', policyOf: ({ policy }) => policy });
const forward = (direction: Direction): Spot => ({ name: `host-forward-${direction}`, direction, kind: 'host-forward', policyOf: (each) => each.forward });
const untracked = (direction: Direction): Spot => ({ name: `host-untracked-${direction}`, direction, kind: 'host-early', policyOf: (each) => each.untracked });
const spots = {
  localIngress: local('ingress'),
  localEgress: local('egress'),
  forwardIngress: forward('ingress'),
  forwardEgress: forward('egress'),
  untrackedIngress: untracked('ingress'),
  untrackedEgress: untracked('egress'),
  preDnat: { name: 'host-pre-dnat-ingress', direction: 'ingress', kind: 'host-early', policyOf: ({ preDnat }) => preDnat },
} as const satisfies Readonly<Record<string, Spot>>;
type SpotName = keyof typeof spots;
const spotNames = Object.keys(spots) as SpotName[];

const interfaceClasses = ({ name }: Spot): string => `${name}-class`;

/** The maps from interface to class number, in the table inet. */
export const hostEndpointSets: readonly NftSet[] = spotNames.map((name) => ({ name: interfaceClasses(spots[name]), key: ['ifname'], data: 'mark' }));

/** The places where host endpoints have policies. `every` is the chain for interfaces without a host endpoint of their own. */
export type HostUse = Readonly<Partial<Record<SpotName, { readonly every?: string }>>>;

/** Whether a chain judges the packets of host endpoints alone. */
export const isOfHostEndpoints = (chain: string): boolean => chain.startsWith('host-');

const [TCP, UDP, ICMPV6] = [6, 17, 58];
/** Accepts multicast listener discovery, router and neighbour discovery. Without them an IPv6 host loses its routers and neighbours, so that no failsafe port can be reached. In IPv4, ARP is not policed either. */
const discovery: readonly NftRule[] = [
  rule(l4proto(ICMPV6), { is: 'range', field: 'icmpv6 type', first: byte(130), last: byte(136) }, accept),
  rule(l4proto(ICMPV6), equal('icmpv6 type', byte(143)), accept),
];

/**
 * Rules that accept packets of failsafe ports.
 * @param end which end of the connection has the port: the one that the packet is sent to, or the one that it comes from
 * @param far which end is the one that the port's net limits
 */
function failsafe(ports: readonly FailsafePort[], end: 'destination' | 'source', far: 'destination' | 'source'): NftRule[] {
  const groups = new Map<string, FailsafePort[]>();
  for (const each of ports) groups.set(`${each.protocol} ${each.net ?? ''}`, [...(groups.get(`${each.protocol} ${each.net ?? ''}`) ?? []), each]);
  return [...groups.values()].flatMap((group) => {
    const { protocol, net } = group[0]!;
    const where = net === undefined ? [] : [inCidr(net, far)];
    const ranges = mergePorts(group.map(({ port }) => ({ first: port, last: port })));
    return ranges.map(({ first, last }) => rule(...where, l4proto(protocol === 'tcp' ? TCP! : UDP!), portRange(end, first, last), accept));
  });
}

/** Rules that accept packets to a failsafe port of the host; with `answers` also answers to the host's own connections to failsafe ports. */
const failsafeIn = ({ failsafes: { inbound, outbound } }: RenderOptions, answers = false): NftRule[] => [
  ...failsafe(inbound, 'destination', 'source'),
  ...(answers ? failsafe(outbound, 'source', 'source') : []),
];
/** The same rules for packets that the host sends. */
const failsafeOut = ({ failsafes: { inbound, outbound } }: RenderOptions, answers = false): NftRule[] => [
  ...failsafe(outbound, 'destination', 'destination'),
  ...(answers ? failsafe(inbound, 'source', 'destination') : []),
];

const at = (of: Hook['hook'], priority: number): Hook => ({ type: 'filter', hook: of, priority, policy: 'accept' });
/** The priorities of the chains. They come before the chains that judge workloads, because both use the same marks. */
const [RAW, MANGLE, FILTER] = [-301, -150, -1];

const IPS_DST_NAT = 32;
const isTranslated: Statement = { is: 'masked', field: 'ct status', mask: u32(IPS_DST_NAT), value: u32(0), negate: true };
const loopback = (field: 'meta iifname' | 'meta oifname'): NftRule => rule(equal(field, ifnameBytes('lo')), accept);
const known = rule(connectionIs('established', 'related'), accept);

/** The chain that leads from an interface to its policies at one place. The chain of a class denies the packet, or returns. */
function dispatch(name: SpotName, use: HostUse, options: RenderOptions, before: readonly NftRule[] = []): NftChain[] {
  const found = use[name];
  if (!found) return [];
  const spot = spots[name];
  const lookup = rule({
    is: 'verdict-map',
    fields: [spot.direction === 'ingress' ? 'meta iifname' : 'meta oifname'],
    via: interfaceClasses(spot),
    map: classMap(spot.direction),
  });
  const rest = found.every === undefined ? [] : [rule(goTo(found.every))];
  return [{ name: spot.name, rules: [...before, rule(clearMark(options.acceptMark | options.passMark)), lookup, ...rest] }];
}

/** The chains for these places. */
export function hostEndpointChains(options: RenderOptions, use: HostUse): NftChain[] {
  const isEarly = use.untrackedIngress !== undefined || use.preDnat !== undefined;
  const isUntracked = use.untrackedIngress !== undefined || use.untrackedEgress !== undefined;
  const accepted = rule(markHas(options.acceptMark), accept);
  const notTracked = rule(markHas(options.acceptMark), { is: 'notrack' }, accept);
  const clear = rule(clearMark(options.acceptMark | options.passMark));
  const withWorkload = (field: 'meta iifname' | 'meta oifname'): NftRule[] =>
    options.interfacePrefixes.map((prefix) => rule(nameBegins(field, prefix), accept));
  const call = (name: SpotName, ...rules: readonly NftRule[]): NftRule[] => (use[name] ? [...rules, rule(jump(spots[name].name))] : []);
  const chains: NftChain[] = [];
  const add = (name: string, hook: Hook, ...rules: readonly NftRule[]): unknown => chains.push({ name, hook, rules });

  if (isEarly)
    add(
      'host-raw-prerouting',
      at('prerouting', RAW),
      clear,
      ...call('untrackedIngress', ...failsafeIn(options, true), ...discovery),
      ...(use.untrackedIngress ? [notTracked] : []),
    );
  if (isUntracked)
    add(
      'host-raw-output',
      at('output', RAW),
      clear,
      ...call('untrackedEgress', ...failsafeOut(options, true), ...discovery),
      ...(use.untrackedEgress ? [notTracked] : []),
    );
  if (use.preDnat)
    add('host-pre-dnat', at('prerouting', MANGLE), loopback('meta iifname'), accepted, known, ...failsafeIn(options), ...discovery, ...call('preDnat'));
  if (use.localIngress)
    add(
      'host-input',
      at('input', FILTER),
      loopback('meta iifname'),
      ...withWorkload('meta iifname'),
      ...(isEarly ? [accepted] : []),
      known,
      ...failsafeIn(options),
      ...discovery,
      ...call('localIngress'),
    );
  if (use.forwardIngress || use.forwardEgress) add('host-forward', at('forward', FILTER), known, ...call('forwardIngress'), ...call('forwardEgress'));
  if (use.localEgress) {
    const own = [loopback('meta oifname'), ...withWorkload('meta oifname'), ...(isUntracked ? [accepted] : []), known, ...failsafeOut(options)];
    // The kernel cannot reject a packet at the hook postrouting.
    const later = options.denyAction === 'DROP';
    add('host-output', at('output', FILTER), ...own, ...discovery, ...(later ? [rule(isTranslated, accept)] : []), ...call('localEgress'));
    if (later) add('host-postrouting', at('postrouting', FILTER), rule(equal('meta iif', u32(0), true), accept), rule(isTranslated, goTo('host-translated')));
    if (later) chains.push({ name: 'host-translated', rules: [...own, ...call('localEgress')] });
  }
  const early = isEarly ? [rule(markHas(options.acceptMark), goBack)] : [];
  return [...chains, ...spotNames.flatMap((name) => dispatch(name, use, options, name === 'forwardIngress' ? early : []))];
}

/** The host endpoints that govern interfaces, by the interface's name or `everyInterface`. */
export class HostEndpoints {
  readonly #classes: Readonly<Record<Direction, Classes>>;
  readonly #interfaces = new Map<string, LocalHostEndpoint>();

  constructor(classes: Readonly<Record<Direction, Classes>>) {
    this.#classes = classes;
  }

  /** The places that need chains now. */
  get use(): HostUse {
    const use: Record<string, { readonly every?: string }> = {};
    for (const name of spotNames)
      for (const [key, endpoint] of this.#interfaces) {
        if (!isAt(spots[name], endpoint)) continue;
        use[name] = {
          ...use[name],
          ...(key === everyInterface && { every: this.#classOf(spots[name]).chainOf(spots[name].policyOf(endpoint), spots[name].kind) }),
        };
      }
    return use;
  }

  /** Sets the host endpoints of interfaces; undefined for an interface that no longer has one. Returns a function that releases the former classes, to be called when nothing refers to them. */
  apply(changes: ReadonlyMap<string, LocalHostEndpoint | undefined>, options: RenderOptions, edits: EditList): () => void {
    const former: LocalHostEndpoint[] = [];
    for (const [key, next] of changes) {
      const before = this.#interfaces.get(key);
      if (before) former.push(before);
      if (next) this.#interfaces.set(key, next);
      else this.#interfaces.delete(key);
      for (const name of spotNames) this.#write(spots[name], key, before, next, options, edits);
    }
    return () => {
      for (const endpoint of former) for (const name of spotNames) this.#release(spots[name], endpoint, edits);
    };
  }

  #release(spot: Spot, endpoint: LocalHostEndpoint, edits: EditList): void {
    const classes = this.#classOf(spot);
    classes.release(classes.contentOf(spot.policyOf(endpoint), spot.kind), edits);
  }

  #classOf({ direction }: Spot): Classes {
    return this.#classes[direction];
  }

  /** An interface with a host endpoint of its own has an element at every place, so that the one for every interface does not govern it anywhere. */
  #write(spot: Spot, key: string, before: LocalHostEndpoint | undefined, next: LocalHostEndpoint | undefined, options: RenderOptions, edits: EditList): void {
    const number = next && this.#classOf(spot).acquire(spot.policyOf(next), options, edits, spot.kind).number;
    if (key === everyInterface) return; // a rule leads to its class
    if (before) edits.removeElements(interfaceClasses(spot), [{ key: ifnameBytes(key) }]);
    if (number !== undefined) edits.addElements(interfaceClasses(spot), [{ key: ifnameBytes(key), data: u32(number) }]);
  }
}

/** Whether a host endpoint judges packets at a place. At the host's own sockets it always does, because packets that no policy allows are denied there. */
const isAt = (spot: Spot, endpoint: LocalHostEndpoint): boolean => spot.kind === 'host' || spot.policyOf(endpoint)[spot.direction].length > 0;
