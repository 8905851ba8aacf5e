// Tracked connections ("flows") as values, and what may be done about them. No I/O.
import type { IpFamily } from '../addresses/ip.ts';

/** One direction of a flow. Ports are absent where the protocol has none (ICMP). Addresses in canonical text. */
export type FlowTuple = {
  readonly protocol: number;
  readonly source: string;
  readonly destination: string;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
};

/** Without NAT, `reply` is `original` turned round. */
export type Flow = {
  readonly family: IpFamily;
  readonly original: FlowTuple;
  readonly reply: FlowTuple;
  readonly zone: number;
  /** Absent: 0. */
  readonly mark?: number;
};

/** `seen`: flows that were looked at. */
export type FlowDeletion = { readonly deleted: number; readonly seen: number };

export type FlowMarking = { readonly marked: number; readonly seen: number };

export interface Conntrack {
  /**
   * Deletes every flow that has one of these addresses as source or destination, as sent or as answered (behind NAT these differ). One pass over the kernel's flows
   * for all addresses, in slices between which the rest of the program has its turn; calls that come meanwhile share the next pass. A flow that begins during the
   * pass may be missed: first see to it that none can. RangeError for what is no address;
   * NetlinkError when the kernel refused, after everything else is deleted.
   */
  deleteByAddress(addresses: Iterable<string>): Promise<FlowDeletion>;
  /**
   * Sets the bits of `mask` in the mark of each flow to those of `next`, and leaves the others alone. One pass over all flows, in slices between which the rest of the
   * program has its turn. NetlinkError when the kernel refused, after all others are set.
   * @param next the mark that a flow of this mark is to have
   */
  markFlows(mask: number, next: (mark: number) => number): Promise<FlowMarking>;
  /** Deletes the one flow that began with this tuple. */
  deleteFlow(original: FlowTuple, zone?: number): 'deleted' | 'absent';
  /** All flows, of both families. */
  flows(): Promise<readonly Flow[]>;
  /** How many flows there are. */
  count(): number;
  close(): void;
}
