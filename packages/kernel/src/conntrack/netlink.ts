// The kernel's connection tracking, over ctnetlink.
import { DumpSocket, type DumpVisitor } from '../netlink/dump.ts';
import { NetlinkError, type NetlinkMessage, netlinkProtocol, openNetlinkDescriptor, openNetlinkSocket } from '../netlink/socket.ts';
import { type AddressSet, addressSet, hasAddress } from './addresses.ts';
import { FlowChanges } from './changes.ts';
import type { Conntrack, Flow, FlowChange, FlowDeletion, FlowMarking, FlowRecord, FlowReview } from './flow.ts';
import { countFlows, deleteFlow, dumpFlows, netfilterHeaderLength, readCount, readFlow, readFlowRecord, readMark } from './messages.ts';
import { parsedAddresses, sharedPasses } from './passes.ts';

/**
 * The connection tracking of the calling thread's network namespace. Its sockets stay in the namespace (see `inNamespace`). Throws NetlinkError when the kernel refuses.
 * It is longer than 80 lines because each method is a few lines around the two sockets that all of them share.
 */
export function openConntrack(): Conntrack {
  const socket = openNetlinkSocket(netlinkProtocol.netfilter);
  const dumps = new DumpSocket(openNetlinkDescriptor(netlinkProtocol.netfilter));
  const dump = (family: 4 | 6 | undefined, visit: DumpVisitor): Promise<void> => dumps.read(dumpFlows(socket.nextSequence(), family), visit);

  /** Makes one pass over the flows of a family, or of both, and carries out what `review` returns for each. `review` is synchronous. */
  async function changeFlows(
    family: 4 | 6 | undefined,
    review: (buffer: Uint8Array, start: number, end: number) => FlowChange | undefined,
  ): Promise<FlowReview> {
    let seen = 0;
    const changes = new FlowChanges(socket);
    await dump(family, (buffer, start, end) => {
      seen++;
      const change = review(buffer, start, end);
      if (change !== undefined) changes.add(buffer.slice(start, end), change);
    });
    return { ...changes.finish(), seen };
  }

  const familyOfAll = ({ families }: AddressSet): 4 | 6 | undefined => (families.size === 1 ? [...families][0] : undefined);
  const has = (addresses: AddressSet, buffer: Uint8Array, start: number, end: number): boolean =>
    hasAddress(buffer, start + netfilterHeaderLength, end, addresses);

  async function deleteAll(addresses: AddressSet): Promise<FlowDeletion> {
    const { deleted, seen } = await changeFlows(familyOfAll(addresses), (buffer, start, end) => (has(addresses, buffer, start, end) ? 'delete' : undefined));
    return { deleted, seen };
  }

  async function markFlows(mask: number, next: (mark: number) => number): Promise<FlowMarking> {
    const { marked, seen } = await changeFlows(undefined, (buffer, start, end) => {
      const before = readMark(buffer.subarray(start, end));
      const mark = next(before);
      return ((mark ^ before) & mask) === 0 ? undefined : { mark, mask };
    });
    return { marked, seen };
  }

  function reviewFlows(of: Iterable<string> | 'all', review: (flow: FlowRecord) => FlowChange | undefined): Promise<FlowReview> {
    const addresses = of === 'all' ? undefined : addressSet(parsedAddresses(of).values());
    return changeFlows(addresses && familyOfAll(addresses), (buffer, start, end) => {
      if (addresses && !has(addresses, buffer, start, end)) return undefined;
      const flow = readFlowRecord(buffer.subarray(start, end));
      return flow && review(flow);
    });
  }

  /** Sends requests. `gone` counts those about flows that do not exist. Throws when the kernel refuses for another reason. */
  function ask(request: Uint8Array): { readonly answers: readonly NetlinkMessage[]; readonly gone: number } {
    const { answers, refusals } = socket.exchange([request]);
    const refusal = refusals.find(({ code }) => code !== 'ENOENT');
    if (refusal)
      throw new NetlinkError(
        refusal.code,
        `the kernel refused a request about tracked connections: ${refusal.code}${refusal.detail ? ` (${refusal.detail})` : ''}`,
      );
    return { answers, gone: refusals.length };
  }

  return {
    deleteByAddress: sharedPasses(deleteAll),
    markFlows,
    reviewFlows,
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
      throw new NetlinkError('ENODATA', 'the kernel did not answer how many connections it tracks');
    },
    close() {
      dumps.close();
      socket.close();
    },
  };
}
