// The kernel's connection tracking by ctnetlink.
import { MessageWriter } from '../netlink/attributes.ts';
import { readDump } from '../netlink/dump.ts';
import { close } from '../netlink/libc.ts';
import { NetlinkError, type NetlinkMessage, type NetlinkRefusal, netlinkProtocol, openNetlinkDescriptor, openNetlinkSocket } from '../netlink/socket.ts';
import { type AddressSet, hasAddress } from './addresses.ts';
import type { Conntrack, Flow, FlowDeletion, FlowMarking } from './flow.ts';
import { countFlows, deleteFlow, dumpFlows, netfilterHeaderLength, readCount, readFlow, readMark, writeDeletionOf, writeMarkOf } from './messages.ts';
import { sharedPasses } from './passes.ts';

/** Changes are sent when so many have gathered, and at the end. */
const changesAtOnce = 500;

/** The flows of the calling thread's network namespace; sockets stay in it (see `inNamespace`). Throws NetlinkError when the kernel refuses. */
export function openConntrack(): Conntrack {
  const socket = openNetlinkSocket(netlinkProtocol.netfilter);
  const dumpDescriptor = openNetlinkDescriptor(netlinkProtocol.netfilter);
  let open = true;
  /** Dumps share a descriptor, so they go one after the other. */
  let lastDump: Promise<unknown> = Promise.resolve();

  function dump(family: 4 | 6 | undefined, visit: (buffer: Uint8Array, start: number, end: number) => void): Promise<void> {
    const mine = lastDump.then(() => {
      if (!open) throw new NetlinkError('EBADF', 'this conntrack is closed');
      return readDump(dumpDescriptor, dumpFlows(socket.nextSequence(), family), visit, () => open);
    });
    lastDump = mine.catch(() => undefined); // whoever asked is told
    return mine;
  }

  /** Sends what `write` appends for each flow that is `wanted`. One pass over the flows of a family, or of both. */
  async function changeFlows(
    family: 4 | 6 | undefined,
    wanted: (buffer: Uint8Array, start: number, end: number) => boolean,
    write: (writer: MessageWriter, sequence: number, payload: Uint8Array) => void,
  ): Promise<{ readonly changed: number; readonly seen: number }> {
    let seen = 0;
    let changed = 0;
    let unwilling: NetlinkRefusal | undefined;
    const found: Uint8Array[] = [];
    await dump(family, (buffer, start, end) => {
      seen++;
      if (!wanted(buffer, start, end)) return;
      found.push(buffer.slice(start, end));
      if (found.length === changesAtOnce) changed += changeFound();
    });
    changed += changeFound();
    if (unwilling) {
      throw new NetlinkError(unwilling.code, `${changed} flows were deleted or marked, but not all that were to be: the kernel says ${unwilling.code}`);
    }
    return { changed, seen };

    /** What the kernel refuses (a flow handed to the hardware, EBUSY) stops no other. */
    function changeFound(): number {
      if (found.length === 0) return 0;
      const writer = new MessageWriter();
      for (const payload of found) write(writer, socket.nextSequence(), payload);
      const { refusals } = socket.exchange([writer.bytes()]);
      const asked = found.length;
      found.length = 0;
      unwilling ??= refusals.find(({ code }) => code !== 'ENOENT');
      return asked - refusals.length;
    }
  }

  async function deleteAll(addresses: AddressSet): Promise<FlowDeletion> {
    const [family] = addresses.families.size === 1 ? addresses.families : [undefined];
    const has = (buffer: Uint8Array, start: number, end: number): boolean => hasAddress(buffer, start + netfilterHeaderLength, end, addresses);
    const { changed, seen } = await changeFlows(family, has, writeDeletionOf);
    return { deleted: changed, seen };
  }

  async function markFlows(mask: number, next: (mark: number) => number): Promise<FlowMarking> {
    const differs = (mark: number): boolean => ((next(mark) ^ mark) & mask) !== 0;
    const { changed, seen } = await changeFlows(
      undefined,
      (buffer, start, end) => differs(readMark(buffer.subarray(start, end))),
      (writer, sequence, payload) => writeMarkOf(writer, sequence, payload, next(readMark(payload)), mask),
    );
    return { marked: changed, seen };
  }

  /** `gone`: how many of the requests were about a flow that is not there. Throws when the kernel refuses for another reason. */
  function ask(request: Uint8Array): { readonly answers: readonly NetlinkMessage[]; readonly gone: number } {
    const { answers, refusals } = socket.exchange([request]);
    const refusal = refusals.find(({ code }) => code !== 'ENOENT');
    if (refusal)
      throw new NetlinkError(refusal.code, `the kernel refuses what it is asked of its flows: ${refusal.code}${refusal.detail ? ` (${refusal.detail})` : ''}`);
    return { answers, gone: refusals.length };
  }

  return {
    deleteByAddress: sharedPasses(deleteAll),
    markFlows,
    deleteFlow: (original, zone = 0) => (ask(deleteFlow(socket.nextSequence(), original, zone)).gone === 0 ? 'deleted' : 'absent'),
    async flows() {
      const flows: Flow[] = [];
      await dump(undefined, (buffer, start, end) => {
        const flow = readFlow(buffer.subarray(start, end));
        if (flow) flows.push(flow);
      });
      return flows;
    },
    count() {
      for (const { payload } of ask(countFlows(socket.nextSequence())).answers) {
        const count = readCount(payload);
        if (count !== undefined) return count;
      }
      throw new NetlinkError('ENODATA', 'the kernel does not say how many flows it tracks');
    },
    close() {
      if (open) close(dumpDescriptor);
      open = false;
      socket.close();
    },
  };
}
