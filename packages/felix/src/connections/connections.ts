// What becomes of this host's connections when the rules change: those that policy would not let begin any more are held to it, those of addresses that left are cut.

import type { IpAddress } from '@calico-openstack/addresses';
import type { Clock, Logger } from '@calico-openstack/agent';
import type { DesiredChange } from '@calico-openstack/datamodel';
import type { Conntrack, FlowChange, FlowRecord } from '@calico-openstack/kernel';
import { ConcernedAddresses } from './concerned.ts';
import { type Cutting, startCutting } from './cutting.ts';
import { type Enforcement, startEnforcement } from './enforcement.ts';

export type ConnectionsOptions = {
  readonly conntrack: Pick<Conntrack, 'deleteByAddress' | 'reviewFlows'>;
  /** Made for each look at connections, by the rules as they are then. */
  readonly judge: () => (flow: FlowRecord) => FlowChange | undefined;
  readonly log: Logger;
  readonly clock: Clock;
  /** The connections of these addresses are cut: routes may lead to them again. */
  readonly onCut: (addresses: readonly IpAddress[]) => void;
  /** They cannot be cut yet. */
  readonly onHeld: (addresses: readonly IpAddress[], reason: string) => void;
};

export class Connections {
  readonly #concerned = new ConcernedAddresses();
  readonly #enforcement: Enforcement;
  readonly #cutting: Cutting;

  constructor({ conntrack, judge, log, clock, onCut, onHeld }: ConnectionsOptions) {
    this.#cutting = startCutting(conntrack, log, { onCut, onHeld }, clock);
    this.#enforcement = startEnforcement(conntrack, judge, log, clock);
  }

  /** Notes whose connections the change concerns. No connection is looked at. */
  note(change: DesiredChange): void {
    this.#concerned.note(change);
  }

  /** Something that every connection depends on has changed. */
  noteAll(): void {
    this.#concerned.noteAll();
  }

  /** The rules in force may allow less than before, and every connection that they let through has its stamp. @param enforce false: what was let through goes on */
  rulesInForce(enforce: boolean): void {
    const concerned = this.#concerned.take();
    if (enforce) this.#enforcement.enforce(concerned);
  }

  /** These addresses no longer lead where they led. */
  cut(addresses: readonly IpAddress[]): void {
    this.#cutting.cut(addresses);
  }

  close(): void {
    this.#enforcement.close();
    this.#cutting.close();
  }
}
