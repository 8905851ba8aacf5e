// Decides whether the policy in force would allow a connection if it began now. It evaluates the desired rules for the first packet of the connection. No I/O.
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
import { type ConnectionStamps, floatingToFixed, ifnameBytes, isOfHostEndpoints, u32 } from '@calico-openstack/render';
import { bytesKey } from './bytes-key.ts';
import { rememberVerdicts } from './remembered.ts';

/** Where addresses are on this host. Addresses are keys of `bytesKey`. */
export type HostView = {
  /** Returns the name of the workload interface that an address leads to, as the kernel has names (IFNAMSIZ bytes); undefined when it leads to none. */
  readonly interfaceOf: (address: string) => Uint8Array | undefined;
  /** Returns whether the host itself has the address. */
  readonly isOwn: (address: string) => boolean;
};

/** A copy of where addresses are now. */
export function hostView(workloads: ReadonlyMap<WorkloadId, LocalWorkload>, links: Pick<Links, 'links' | 'addresses'>): HostView {
  const own = new Set<string>();
  for (const name of links.links.keys()) for (const { address } of links.addresses(name)) own.add(bytesKey(addressBytes(address as IpAddress)));
  const interfaces = new Map<string, Uint8Array>();
  for (const { shadowedBy, routed, interfaceName } of workloads.values()) {
    const name = ifnameBytes(interfaceName);
    for (const cidr of shadowedBy ? [] : routed) {
      const key = isHostCidr(cidr) ? bytesKey(addressBytes(addressOf(cidr))) : undefined;
      if (key !== undefined && !own.has(key)) interfaces.set(key, name); // an address of the host leads to no workload, whatever the datastore says
    }
  }
  return { interfaceOf: (address) => interfaces.get(address), isOwn: (address) => own.has(address) };
}

/** The stamps that policy would give, or that it denies the connection. */
type Judgement = number | 'denied';

const TCP = 6;
const [NEW, ORIGINAL] = [u32(8), Uint8Array.of(0)];
const nothing = u32(0);
const noInterface = new Uint8Array(16);
const [ipv4, ipv6] = [Uint8Array.of(2), Uint8Array.of(10)];
/** How long the kernel remembers a cut connection without packets. Each packet of it, though dropped, prolongs that. */
const rememberedSeconds = 2;

/**
 * Returns a function that says what has to be done with a connection. An allowed connection gets the stamps that it lacks. A denied one loses its stamps, so that packets of both
 * directions are dropped.
 *
 * A denied connection is not deleted. Any packet of a connection that the kernel does not know begins a new one. An answer that is on its way would begin one in the other direction,
 * which the egress policy of the answering side may allow.
 *
 * The kernel remembers a denied TCP connection for its usual time, because a silent one may continue after hours. With other protocols any packet may rightly begin a connection, so
 * silent ones are forgotten soon.
 * @param rules the desired rules of the table `inet`
 * @param stamps the bits in which connections have stamps
 */
export function createJudge(rules: Rules, stamps: ConnectionStamps, { interfaceOf, isOwn }: HostView): (flow: FlowRecord) => FlowChange | undefined {
  const mask = (stamps.egress | stamps.ingress) >>> 0;
  const verdicts = (['forward', 'input'] as const).map((hook) => {
    // Policies of host endpoints do not end connections: which interface a remote side is behind is not known here.
    const bases = basesAt(hook, rules.chains()).filter(({ name }) => !isOfHostEndpoints(name));
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

  /** The decision of policy; undefined when none of our policies is about such a connection. */
  function judge(family: 4 | 6, protocol: number, sides: FlowSides, leadsTo: Uint8Array): Judgement | undefined {
    const [source, destination] = [bytesKey(sides.source), bytesKey(leadsTo)];
    const [from, to] = [interfaceOf(source), interfaceOf(destination)];
    if (from === undefined && (to === undefined || isOwn(source))) return undefined;
    const ask = to === undefined && isOwn(destination) ? toHost : onTheWay;
    return ask(new FirstPacket(family, protocol, sides, leadsTo, from, to));
  }

  /** Whether the connection's floating IP leads to another address now. */
  function isAstray({ family, original, reply }: FlowRecord): boolean {
    const floating = rules.find(floatingToFixed(family), original.destination)?.element.data;
    return floating !== undefined && bytesKey(floating) !== bytesKey(reply.source);
  }

  return (flow) => {
    const { family, protocol, original, reply, mark, master } = flow;
    if (isAstray(flow)) return 'delete';
    // A connection that a helper expected (such as the data of FTP) is allowed like its master.
    if (master) return judge(family, master.protocol, master, master.destination) === 'denied' ? cut(flow) : undefined;
    const judgement = judge(family, protocol, original, reply.source);
    if (judgement === undefined) return undefined;
    if (judgement === 'denied') return cut(flow);
    const lacks = (judgement & ~mark) >>> 0;
    return lacks === 0 ? undefined : { mark: lacks, mask: lacks };
  };
}

/** The first packet of a connection at the place where policy is applied: after destination NAT and before source NAT. Its fields are computed when a rule reads them. */
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
