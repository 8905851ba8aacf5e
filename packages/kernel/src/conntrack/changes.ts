// Collects the changes of flows that one pass finds, sends them in batches whose answers fit into a receive buffer, and counts the results.
import { MessageWriter } from '../netlink/attributes.ts';
import { NetlinkError, type NetlinkRefusal, type NetlinkSocket } from '../netlink/socket.ts';
import type { FlowChange, FlowReview } from './flow.ts';
import { writeDeletionOf, writeMarkOf } from './messages.ts';

/** How many changes are sent at a time. */
const changesAtOnce = 500;

/** The changes of one pass. */
export class FlowChanges {
  readonly #socket: NetlinkSocket;
  readonly #done = { deleted: 0, marked: 0 };
  /** The first refusal of the kernel. */
  #unwilling: NetlinkRefusal | undefined;
  #waiting: { readonly payload: Uint8Array; readonly change: FlowChange }[] = [];

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** Adds a change. @param payload the payload of the dump's message about the flow, which is kept */
  add(payload: Uint8Array, change: FlowChange): void {
    this.#waiting.push({ payload, change });
    if (this.#waiting.length === changesAtOnce) this.#send();
  }

  /** Sends the rest and returns the counts. @throws NetlinkError when the kernel has refused a change; the others are done */
  finish(): Omit<FlowReview, 'seen'> {
    this.#send();
    const { deleted, marked } = this.#done;
    if (this.#unwilling) {
      const { code } = this.#unwilling;
      throw new NetlinkError(code, `${deleted + marked} flows were changed, but not all that should be: the kernel refused with ${code}`);
    }
    return { deleted, marked };
  }

  /** Sends the collected changes. A refusal (EBUSY for a flow that was offloaded to hardware) does not stop the others. A flow that no longer exists (ENOENT) is not counted, and is no failure. */
  #send(): void {
    const found = this.#waiting;
    this.#waiting = [];
    if (found.length === 0) return;
    const writer = new MessageWriter();
    const asked = new Map<number, 'deleted' | 'marked'>();
    for (const [index, { payload, change }] of found.entries()) {
      const isLast = index === found.length - 1; // refusals are always answered, and the answer to the last request shows that all are done
      const sequence = this.#socket.nextSequence();
      asked.set(sequence, change === 'delete' ? 'deleted' : 'marked');
      if (change === 'delete') writeDeletionOf(writer, sequence, payload, isLast);
      else writeMarkOf(writer, sequence, payload, change, isLast);
    }
    const { refusals } = this.#socket.exchange([writer.bytes()]);
    this.#unwilling ??= refusals.find(({ code }) => code !== 'ENOENT');
    for (const { sequence } of refusals) asked.delete(sequence);
    for (const what of asked.values()) this.#done[what]++;
  }
}
