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

/** One direction of a flow as bytes in network order, for whoever looks at a hundred thousand. Ports are 0 where the protocol has none. */
export type FlowSides = {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly icmp?: { readonly type: number; readonly code: number };
};

export type FlowRecord = {
  readonly family: IpFamily;
  readonly protocol: number;
  readonly original: FlowSides;
  readonly reply: FlowSides;
  readonly mark: number;
  /** How the flow began that this one belongs to, which a helper foretold. */
  readonly master?: FlowSides & { readonly protocol: number };
};

/** What is to become of a flow: deleted, or the bits of `mask` in its mark set to those of `mark`, and its time to live, if it ends without another packet, to `timeoutSeconds`. */
export type FlowChange = 'delete' | { readonly mark: number; readonly mask: number; readonly timeoutSeconds?: number };

export type FlowReview = { readonly deleted: number; readonly marked: number; readonly seen: number };

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
  /**
   * Asks `review` about each flow that has one of these addresses (`all`: each flow there is), and does what it says. One pass, in slices between which the rest of the
   * program has its turn. RangeError, NetlinkError: as with `deleteByAddress`.
   */
  reviewFlows(addresses: Iterable<string> | 'all', review: (flow: FlowRecord) => FlowChange | undefined): Promise<FlowReview>;
  /** Deletes the one flow that began with this tuple. */
  deleteFlow(original: FlowTuple, zone?: number): 'deleted' | 'absent';
  /** All flows, of both families. */
  flows(): Promise<readonly Flow[]>;
  /** How many flows there are. */
  count(): number;
  close(): void;
}
