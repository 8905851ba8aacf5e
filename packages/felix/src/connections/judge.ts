// What the policy that is in force now would say of a connection if it began now. Judged by the rules as they are wanted in the kernel, on the packet that would begin it. No I/O.
import { addressBytes, addressOf, type IpAddress, isHostCidr } from '@calico-openstack/addresses';
import type { LocalWorkload, WorkloadId } from '@calico-openstack/datamodel';
import {
  basesAt,
  evaluateIn,
  type Field,
  type FlowChange,
  type FlowRecord,
  type FlowSides,
  type Links,
  type Packet,
  type Rules,
} from '@calico-openstack/kernel';
import { type ConnectionStamps, floatingToFixed, ifnameBytes, u32 } from '@calico-openstack/render';
import { bytesKey } from './bytes-key.ts';
import { rememberVerdicts } from './remembered.ts';

export type HostView = {
  /** The name of the workload interface that an address leads to; addresses as `bytesKey` gives them. */
  readonly interfaceOf: (address: string) => Uint8Array | undefined;
  /** The host has the address itself. */
  readonly isOwn: (address: string) => boolean;
};

/** As it is now. */
export function hostView(workloads: ReadonlyMap<WorkloadId, LocalWorkload>, links: Pick<Links, 'links' | 'addresses'>): HostView {
  const own = new Set<string>();
  for (const name of links.links.keys()) for (const { address } of links.addresses(name)) own.add(bytesKey(addressBytes(address as IpAddress)));
  const interfaces = new Map<string, Uint8Array>();
  for (const { shadowedBy, routed, interfaceName } of workloads.values()) {
    const name = ifnameBytes(interfaceName);
    for (const cidr of shadowedBy ? [] : routed) {
      const key = isHostCidr(cidr) ? bytesKey(addressBytes(addressOf(cidr))) : undefined;
      if (key !== undefined && !own.has(key)) interfaces.set(key, name); // what the host has itself leads to no workload, whatever the datastore says
    }
  }
  return { interfaceOf: (address) => interfaces.get(address), isOwn: (address) => own.has(address) };
}

/** The stamps that policy would give. */
type Judgement = number | 'denied';

const TCP = 6;
const [NEW, ORIGINAL] = [u32(8), Uint8Array.of(0)];
const nothing = u32(0);
const noInterface = new Uint8Array(16);
const [ipv4, ipv6] = [Uint8Array.of(2), Uint8Array.of(10)];
/** How long what is cut is remembered when neither side goes on with it; a packet of either, though it is dropped, prolongs that. */
const rememberedSeconds = 2;

/**
 * Says what is to become of connections: nothing where policy lets them begin, but for stamps that they lack.
 *
 * What policy denies loses its stamps, and is dead both ways while the kernel remembers it. Not deleted: to the kernel any packet of a connection that it does not know begins one, so the answer that is
 * on its way would begin this one anew, the other way round, let out by the egress policy of whoever answers. TCP is remembered as long as the kernel does by itself, since a silent connection may speak
 * again after hours; of the others any packet may begin a connection by right, so those that are silent are forgotten.
 */
export function createJudge(rules: Rules, stamps: ConnectionStamps, { interfaceOf, isOwn }: HostView): (flow: FlowRecord) => FlowChange | undefined {
  const mask = (stamps.egress | stamps.ingress) >>> 0;
  const verdicts = (['forward', 'input'] as const).map((hook) => {
    const bases = basesAt(hook, rules.chains());
    return [
      hook,
      rememberVerdicts((packet) => {
        const { verdict, connectionMark } = evaluateIn(rules, bases, packet);
        return verdict === 'drop' ? 'denied' : (connectionMark & mask) >>> 0;
      }),
    ] as const;
  });
  const [[, onTheWay], [, toHost]] = verdicts as [(typeof verdicts)[0], (typeof verdicts)[0]];

  const cut = ({ protocol, mark }: FlowRecord): FlowChange | undefined => {
    if (protocol !== TCP) return { mark: 0, mask, timeoutSeconds: rememberedSeconds };
    return (mark & mask) === 0 ? undefined : { mark: 0, mask };
  };

  /** undefined: no policy of ours is asked. */
  function judge(family: 4 | 6, protocol: number, sides: FlowSides, leadsTo: Uint8Array): Judgement | undefined {
    const [source, destination] = [bytesKey(sides.source), bytesKey(leadsTo)];
    const [from, to] = [interfaceOf(source), interfaceOf(destination)];
    if (from === undefined && (to === undefined || isOwn(source))) return undefined;
    const ask = to === undefined && isOwn(destination) ? toHost : onTheWay;
    return ask(new FirstPacket(family, protocol, sides, leadsTo, from, to));
  }

  /** A floating IP leads elsewhere than it did for this connection. */
  function isAstray({ family, original, reply }: FlowRecord): boolean {
    const floating = rules.find(floatingToFixed(family), original.destination)?.element.data;
    return floating !== undefined && bytesKey(floating) !== bytesKey(reply.source);
  }

  return (flow) => {
    const { family, protocol, original, reply, mark, master } = flow;
    if (isAstray(flow)) return 'delete';
    // What a helper foretold is let through as what foretold it.
    if (master) return judge(family, master.protocol, master, master.destination) === 'denied' ? cut(flow) : undefined;
    const judgement = judge(family, protocol, original, reply.source);
    if (judgement === undefined) return undefined;
    if (judgement === 'denied') return cut(flow);
    const lacks = (judgement & ~mark) >>> 0;
    return lacks === 0 ? undefined : { mark: lacks, mask: lacks };
  };
}

/** The packet that would begin a connection, where policy is asked: after its destination was translated, before its source is. Its fields are made when they are asked for. */
class FirstPacket implements Pick<Packet, 'get' | 'has'> {
  readonly #family: 4 | 6;
  readonly #protocol: number;
  readonly #sides: FlowSides;
  readonly #destination: Uint8Array;
  readonly #from: Uint8Array | undefined;
  readonly #to: Uint8Array | undefined;

  constructor(family: 4 | 6, protocol: number, sides: FlowSides, destination: Uint8Array, from: Uint8Array | undefined, to: Uint8Array | undefined) {
    this.#family = family;
    this.#protocol = protocol;
    this.#sides = sides;
    this.#destination = destination;
    this.#from = from;
    this.#to = to;
  }

  has(field: Field): boolean {
    return this.get(field) !== undefined;
  }

  get(field: Field): Uint8Array | undefined {
    const v4 = this.#family === 4;
    const { source, sourcePort, destinationPort, icmp } = this.#sides;
    switch (field) {
      case 'meta iifname':
        return this.#from ?? noInterface;
      case 'meta oifname':
        return this.#to ?? noInterface;
      case 'meta nfproto':
        return v4 ? ipv4 : ipv6;
      case 'meta l4proto':
        return Uint8Array.of(this.#protocol);
      case 'ip saddr':
        return v4 ? source : undefined;
      case 'ip daddr':
        return v4 ? this.#destination : undefined;
      case 'ip6 saddr':
        return v4 ? undefined : source;
      case 'ip6 daddr':
        return v4 ? undefined : this.#destination;
      case 'th sport':
        return icmp ? undefined : port(sourcePort);
      case 'th dport':
        return icmp ? undefined : port(destinationPort);
      case 'icmp type':
      case 'icmpv6 type':
        return icmp && v4 === (field === 'icmp type') ? Uint8Array.of(icmp.type) : undefined;
      case 'icmp code':
      case 'icmpv6 code':
        return icmp && v4 === (field === 'icmp code') ? Uint8Array.of(icmp.code) : undefined;
      case 'ct state':
        return NEW;
      case 'ct direction':
        return ORIGINAL;
      case 'ct mark':
        return nothing;
      default:
        return undefined;
    }
  }
}

const port = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 255);
