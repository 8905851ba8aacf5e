// Brings this host's connections in line with the rules after a change. Connections that policy no longer allows are cut, and so are those of addresses that have left.

import type { IpAddress } from '@calico-openstack/addresses';
import type { Clock, Logger } from '@calico-openstack/agent';
import type { DesiredChange } from '@calico-openstack/datamodel';
import type { Conntrack, FlowChange, FlowRecord } from '@calico-openstack/kernel';
import { ConcernedAddresses } from './concerned.ts';
import { type Cutting, startCutting } from './cutting.ts';
import { type Enforcement, startEnforcement } from './enforcement.ts';

/** What `Connections` works with. */
export type ConnectionsOptions = {
  readonly conntrack: Pick<Conntrack, 'deleteByAddress' | 'reviewFlows'>;
  /** Returns the decision for one connection by the current rules (judge.ts). It is called once for each review. */
  readonly judge: () => (flow: FlowRecord) => FlowChange | undefined;
  readonly log: Logger;
  readonly clock: Clock;
  /** Called when the connections of these addresses have been cut, so that routes may lead to them again. */
  readonly onCut: (addresses: readonly IpAddress[]) => void;
  /** Called with the reason why the connections of these addresses cannot be cut yet. */
  readonly onHeld: (addresses: readonly IpAddress[], reason: string) => void;
};

/** The connections of this host. */
export class Connections {
  readonly #concerned = new ConcernedAddresses();
  readonly #enforcement: Enforcement;
  readonly #cutting: Cutting;

  constructor({ conntrack, judge, log, clock, onCut, onHeld }: ConnectionsOptions) {
    this.#cutting = startCutting(conntrack, log, { onCut, onHeld }, clock);
    this.#enforcement = startEnforcement(conntrack, judge, log, clock);
  }

  /** Notes which connections a change may concern, for the next `rulesInForce`. */
  note(change: DesiredChange): void {
    this.#concerned.note(change);
  }

  /** Notes that something has changed on which every connection depends. */
  noteAll(): void {
    this.#concerned.noteAll();
  }

  /**
   * Reviews the noted connections. The kernel must have the rules that belong to the noted changes, and every allowed connection its stamps.
   * @param enforce false when connections that were allowed once may go on
   */
  rulesInForce(enforce: boolean): void {
    const concerned = this.#concerned.take();
    if (enforce) this.#enforcement.enforce(concerned);
  }

  /** Cuts the connections of addresses that no longer lead to the interface that they led to. */
  cut(addresses: readonly IpAddress[]): void {
    this.#cutting.cut(addresses);
  }

  close(): void {
    this.#enforcement.close();
    this.#cutting.close();
  }
}
