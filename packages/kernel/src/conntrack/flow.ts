// Tracked connections ("flows") as values, and the operations on them. No I/O.
import type { IpFamily } from '@calico-openstack/addresses';

/** One direction of a flow. Addresses are in canonical text. Ports are absent for protocols without ports (ICMP). */
export type FlowTuple = {
  readonly protocol: number;
  readonly source: string;
  readonly destination: string;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
};

/** A flow. Without NAT, `reply` is the reverse of `original`. */
export type Flow = {
  readonly family: IpFamily;
  readonly original: FlowTuple;
  readonly reply: FlowTuple;
  readonly zone: number;
  /** The connection mark; absent when it is 0. */
  readonly mark?: number;
};

/** One direction of a flow as bytes in network order, for code that examines a hundred thousand flows. Ports are 0 for protocols without ports. */
export type FlowSides = {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly icmp?: { readonly type: number; readonly code: number };
};

/** A flow as `reviewFlows` shows it. */
export type FlowRecord = {
  readonly family: IpFamily;
  readonly protocol: number;
  readonly original: FlowSides;
  readonly reply: FlowSides;
  readonly mark: number;
  /** The original direction of the flow to which this one belongs, if a connection tracking helper expected this one. */
  readonly master?: FlowSides & { readonly protocol: number };
};

/** A change of a flow: deletion, or setting the bits of `mask` in its mark to those of `mark`. `timeoutSeconds` sets how long the flow lives without a further packet. */
export type FlowChange = 'delete' | { readonly mark: number; readonly mask: number; readonly timeoutSeconds?: number };

/** The counts of a review. `seen`: flows that were examined. */
export type FlowReview = { readonly deleted: number; readonly marked: number; readonly seen: number };

/** The counts of a deletion. `seen`: flows that were examined. */
export type FlowDeletion = { readonly deleted: number; readonly seen: number };

/** The counts of a marking. `seen`: flows that were examined. */
export type FlowMarking = { readonly marked: number; readonly seen: number };

/** The kernel's connection tracking. */
export interface Conntrack {
  /**
   * Deletes every flow with one of these addresses as source or destination, in the original or the reply direction (behind NAT these differ). One pass over the kernel's flows
   * serves all addresses; it is read in slices between which the rest of the program runs. Calls during a pass share the next one. A flow that begins during the
   * pass may be missed, so prevent new ones first. Throws RangeError for a text that is not an address.
   * Rejects with NetlinkError when the kernel refused a deletion, after all others were carried out.
   */
  deleteByAddress(addresses: Iterable<string>): Promise<FlowDeletion>;
  /**
   * Sets the bits of `mask` in the mark of each flow to those of `next`, and leaves the other bits alone. It makes one pass over all flows, in slices between which the rest of the
   * program runs. Rejects with NetlinkError when the kernel refused a change, after all others were carried out.
   * @param next returns the new mark for a flow's mark
   */
  markFlows(mask: number, next: (mark: number) => number): Promise<FlowMarking>;
  /**
   * Calls `review` for each flow with one of these addresses (`all`: for each flow), and carries out the change that it returns. It makes one pass, in slices between which the rest
   * of the program runs. Fails as `deleteByAddress` does.
   */
  reviewFlows(addresses: Iterable<string> | 'all', review: (flow: FlowRecord) => FlowChange | undefined): Promise<FlowReview>;
  /** Deletes the flow whose original direction is this tuple. */
  deleteFlow(original: FlowTuple, zone?: number): 'deleted' | 'absent';
  /** All flows of both families. */
  flows(): Promise<readonly Flow[]>;
  /** The number of flows. */
  count(): number;
  close(): void;
}
