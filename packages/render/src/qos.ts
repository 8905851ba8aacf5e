// Renders a workload's QoS controls: bandwidth as token buckets for its interface, packet rates and numbers of connections as rules. Endpoints without limits cost nothing, because the rules
// that look up limits exist only while some endpoint has limits.
//
//   packet rate:  interface ──map──► chain of this rate ──► the set of this rate, in which each interface has a limit of its own: beyond it, drop
//   connections:  interface ──map──► chain of this interface, whose rule counts: one too many, reset
//
// The counts are in the set's element and in the chain's rule. Neither is written again while the limit stays the same, whatever happens to policy.
import { type LocalWorkload, type QosControls, shortDigest } from '@calico-openstack/datamodel';
import type { NftChain, NftElement, NftRule, NftSet, Statement } from '@calico-openstack/kernel/nftables/objects';
import type { TokenBucket } from '@calico-openstack/kernel/qdiscs/qdisc';
import type { EditList } from './edits.ts';
import type { Direction } from './names.ts';
import { drop, inSet, l4proto, markHas, rule } from './statements.ts';

type PacketRate = { readonly rate: number; readonly burst: number };
type ByDirection<T> = Readonly<Partial<Record<Direction, T>>>;

/** The limits of QoS controls by direction: `ingress` is to the workload. */
export type QosLimits = {
  readonly bandwidth: ByDirection<TokenBucket>;
  /** Packets per second. */
  readonly packetRate: ByDirection<PacketRate>;
  readonly connections: ByDirection<number>;
  /** The controls that are not in force as they are written, each with the reason. */
  readonly unheeded: readonly string[];
};

const directions: readonly Direction[] = ['ingress', 'egress'];

// The bounds of Calico's API, except for packet rates, where nftables allows greater ones.
const [leastBits, mostBits] = [1000, 1e15];
const mostPeakBits = 1.01e15;
const [leastBurstBits, mostBurstBits, defaultBurstBits] = [1000, 34_359_738_360, 4_294_967_296];
const mostPackets = 1e9;
const defaultBurstPackets = 5;
const most32 = 0xffff_ffff;

/** The limits of the queue: 25 ms at the rate, as with upstream's Felix; at least two packets of the size that a guest's segmentation offload makes, and at most the memory that a host can spare for each. */
const [queueSeconds, leastQueueBytes, mostQueueBytes] = [0.025, 131_072, 67_108_864];

/** The limits in a workload's controls. A value beyond its bounds becomes the nearest bound, 0 means no limit, and a negative value is ignored. */
export function qosLimits(controls: QosControls | undefined): QosLimits {
  const unheeded: string[] = [];
  if (controls === undefined) return { bandwidth: {}, packetRate: {}, connections: {}, unheeded };
  /** The value of a control; undefined when there is none. */
  const read = (name: string, least: number, most: number): number | undefined => {
    const value = controls[name] ?? 0;
    if (value === 0) return undefined;
    if (!(value > 0)) {
      unheeded.push(`${name} is ${value}, which is no limit`);
      return undefined;
    }
    const bounded = Math.round(Math.min(most, Math.max(least, value)));
    if (bounded !== Math.round(value)) unheeded.push(`${name} is ${value}; ${bounded} is in force`);
    return bounded;
  };
  const bandwidth = (direction: Direction): TokenBucket | undefined => {
    const rateBits = read(`${direction}Bandwidth`, leastBits, mostBits);
    const peakBits = read(`${direction}Peakrate`, leastBits, mostPeakBits);
    const burstBits = read(`${direction}Burst`, leastBurstBits, mostBurstBits) ?? defaultBurstBits;
    const minburstBytes = read(`${direction}Minburst`, 1, most32) ?? 1;
    if (rateBits === undefined) return undefined;
    const [rateBytesPerSecond, peakBytesPerSecond] = [Math.floor(rateBits / 8), Math.floor((peakBits ?? 0) / 8)];
    const hasPeak = peakBytesPerSecond > rateBytesPerSecond;
    if (peakBits !== undefined && !hasPeak)
      unheeded.push(`${direction}Peakrate is ${peakBits}, which is not above ${direction}Bandwidth (${rateBits}); there is no limit of the peak rate`);
    return {
      rateBytesPerSecond,
      burstBytes: Math.floor(burstBits / 8),
      queueBytes: Math.floor(Math.min(mostQueueBytes, Math.max(leastQueueBytes, rateBytesPerSecond * queueSeconds))),
      ...(hasPeak && { peak: { rateBytesPerSecond: peakBytesPerSecond, burstBytes: minburstBytes } }),
    };
  };
  const packetRate = (direction: Direction): PacketRate | undefined => {
    const rate = read(`${direction}PacketRate`, 1, mostPackets);
    const burst = read(`${direction}PacketBurst`, 1, most32) ?? defaultBurstPackets;
    return rate === undefined ? undefined : { rate, burst };
  };
  return {
    bandwidth: perDirection(bandwidth),
    packetRate: perDirection(packetRate),
    connections: perDirection((direction) => read(`${direction}MaxConnections`, 1, most32)),
    unheeded,
  };
}

function perDirection<T>(of: (direction: Direction) => T | undefined): ByDirection<T> {
  const found: Partial<Record<Direction, T>> = {};
  for (const direction of directions) {
    const value = of(direction);
    if (value !== undefined) found[direction] = value;
  }
  return found;
}

type Kind = 'packet-rate' | 'connections';
const kinds: readonly Kind[] = ['packet-rate', 'connections'];
/** The map from interface to the chain with its limit. */
const limitMap = (kind: Kind, direction: Direction): string => `qos-${kind}-${direction}`;

/** The maps that exist from the start, in the table inet. */
export const qosSets: readonly NftSet[] = kinds.flatMap((kind) =>
  directions.map((direction): NftSet => ({ name: limitMap(kind, direction), key: ['ifname'], data: 'verdict' })),
);

/** The kinds of limits that are in use. */
export type QosUse = ReadonlySet<string>;
/** No limits are in use. */
export const noQos: QosUse = new Set();

const interfaceField = (direction: Direction) => (direction === 'egress' ? 'meta iifname' : 'meta oifname');
const lookUp = (kind: Kind, direction: Direction): Statement => ({ is: 'verdict-map', fields: [interfaceField(direction)], map: limitMap(kind, direction) });

/** The first rule for a forwarded packet, which counts towards the rate whether its connection is established or not. */
export const packetRateRules = (direction: Direction, use: QosUse): readonly NftRule[] =>
  use.has(limitMap('packet-rate', direction)) ? [rule(lookUp('packet-rate', direction))] : [];

/** The rule for a packet that begins a connection and that policy accepts. Packets that policy denies are not counted. As in upstream's Felix, the limit is for TCP, because only with TCP a guest notices the refusal. */
export const connectionRules = (direction: Direction, use: QosUse, acceptMark: number): readonly NftRule[] =>
  use.has(limitMap('connections', direction)) ? [rule(markHas(acceptMark), l4proto(TCP), lookUp('connections', direction))] : [];
const TCP = 6;

/** The objects of one limit of a workload: an element of a map, the chain that it leads to, and for a packet rate the set with the interface's element. */
type Piece = { readonly map: string; readonly chain: NftChain; readonly set?: NftSet };

function piecesOf({ interfaceName, qosControls }: LocalWorkload): readonly Piece[] {
  if (qosControls === undefined) return [];
  const { packetRate, connections } = qosLimits(qosControls);
  return directions.flatMap((direction) => {
    const pieces: Piece[] = [];
    const limit = packetRate[direction];
    if (limit) {
      const name = `${limitMap('packet-rate', direction)}-${limit.rate}-${limit.burst}`;
      const set: NftSet = { name: `${name}-interfaces`, key: ['ifname'], limit: { rate: limit.rate, unit: 'second', burst: limit.burst } };
      pieces.push({ map: limitMap('packet-rate', direction), chain: { name, rules: [rule(inSet(set.name, [interfaceField(direction)]), drop)] }, set });
    }
    const count = connections[direction];
    if (count !== undefined) {
      const name = `${limitMap('connections', direction)}-${interfaceName.replaceAll(/[^A-Za-z0-9._-]/g, '_')}-${shortDigest(interfaceName, 6)}`;
      const tooMany = rule(l4proto(TCP), { is: 'connections-over', count }, { is: 'reject', with: 'tcp-reset' });
      pieces.push({ map: limitMap('connections', direction), chain: { name, rules: [tooMany] } });
    }
    return pieces;
  });
}

/** The elements that a workload's limits add to the table inet. @param name the name of its interface, as a key */
export const qosElements = (workload: LocalWorkload, name: Uint8Array): readonly { readonly set: string; readonly element: NftElement }[] =>
  piecesOf(workload).flatMap(({ map, chain, set }) => [
    { set: map, element: { key: name, verdict: { verdict: 'jump', chain: chain.name } } },
    ...(set ? [{ set: set.name, element: { key: name } }] : []),
  ]);

/** Counts the users of the chains and sets of limits. */
export class QosChains {
  readonly #users = new Map<string, number>();
  readonly #uses = new Map<string, number>();

  /** The kinds of limits that are in use now. */
  get use(): QosUse {
    return new Set(this.#uses.keys());
  }

  /** Counts one more user of each, and creates what is new. A chain of one interface takes another limit in place. */
  acquire(workload: LocalWorkload, edits: EditList): void {
    for (const { map, chain, set } of piecesOf(workload)) {
      const known = this.#users.get(chain.name);
      if (known === undefined && set) edits.setSet(set, []);
      if (known === undefined || !set) edits.setChain(chain);
      this.#users.set(chain.name, (known ?? 0) + 1);
      this.#uses.set(map, (this.#uses.get(map) ?? 0) + 1);
    }
  }

  /** Counts one user less of each, and removes objects without users. */
  release(workload: LocalWorkload, edits: EditList): void {
    for (const { map, chain, set } of piecesOf(workload)) {
      const users = this.#users.get(chain.name)! - 1;
      if (users > 0) this.#users.set(chain.name, users);
      else {
        this.#users.delete(chain.name);
        edits.removeChain(chain.name);
        if (set) edits.removeSet(set.name);
      }
      const uses = this.#uses.get(map)! - 1;
      if (uses > 0) this.#uses.set(map, uses);
      else this.#uses.delete(map);
    }
  }
}
