// Changes of flows as one look at them finds them: sent some at a time, so that their answers fit into a receive buffer, and counted by what came of them.
import { MessageWriter } from '../netlink/attributes.ts';
import { NetlinkError, type NetlinkRefusal, type NetlinkSocket } from '../netlink/socket.ts';
import type { FlowChange, FlowReview } from './flow.ts';
import { writeDeletionOf, writeMarkOf } from './messages.ts';

/** Changes are sent when so many have gathered, and at the end. */
const changesAtOnce = 500;

export class FlowChanges {
  readonly #socket: NetlinkSocket;
  readonly #done = { deleted: 0, marked: 0 };
  /** Why the kernel did not do what it was asked of a flow: the first refusal. */
  #unwilling: NetlinkRefusal | undefined;
  #waiting: { readonly payload: Uint8Array; readonly change: FlowChange }[] = [];

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** @param payload of the message that told of the flow; it is kept */
  add(payload: Uint8Array, change: FlowChange): void {
    this.#waiting.push({ payload, change });
    if (this.#waiting.length === changesAtOnce) this.#send();
  }

  /** Sends the rest. @throws NetlinkError when the kernel has refused any of them; the others are done */
  finish(): Omit<FlowReview, 'seen'> {
    this.#send();
    const { deleted, marked } = this.#done;
    if (this.#unwilling) {
      const { code } = this.#unwilling;
      throw new NetlinkError(code, `${deleted + marked} flows were changed, but not all that were to be: the kernel says ${code}`);
    }
    return { deleted, marked };
  }

  /** What the kernel refuses (a flow handed to the hardware, EBUSY) stops no other. A flow that is gone (ENOENT) was not changed, and that is no refusal. */
  #send(): void {
    const found = this.#waiting;
    this.#waiting = [];
    if (found.length === 0) return;
    const writer = new MessageWriter();
    const asked = new Map<number, 'deleted' | 'marked'>();
    for (const [index, { payload, change }] of found.entries()) {
      const isLast = index === found.length - 1; // what is refused is told anyway, and that all is done by the last one's answer
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
