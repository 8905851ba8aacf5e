// Tracked connections in memory that behave like the kernel's.
import { addressBytes, familyOf } from '@calico-openstack/addresses';
import type { Conntrack, Flow, FlowRecord, FlowSides, FlowTuple } from './flow.ts';
import { parsedAddresses, sharedPasses } from './passes.ts';

/** A fake, with a record of its passes. */
export interface FakeConntrack extends Conntrack {
  readonly tracked: Flow[];
  /** The addresses of each pass so far. */
  readonly passes: (readonly string[])[];
}

/** A fake that tracks these flows. The array is its content and may be changed. */
export function fakeConntrack(tracked: Flow[] = []): FakeConntrack {
  const passes: (readonly string[])[] = [];
  const remove = (unwanted: (flow: Flow) => boolean): number => {
    const before = tracked.length;
    tracked.splice(0, before, ...tracked.filter((flow) => !unwanted(flow)));
    return before - tracked.length;
  };
  const addressesOf = ({ original, reply }: Flow): string[] => [original.source, original.destination, reply.source, reply.destination];
  const same = (a: FlowTuple, b: FlowTuple): boolean =>
    (['protocol', 'source', 'destination', 'sourcePort', 'destinationPort'] as const).every((field) => a[field] === b[field]);

  return {
    tracked,
    passes,
    deleteByAddress: sharedPasses(async (addresses) => {
      await Promise.resolve(); // as in the kernel, others run in between
      const has = (address: string): boolean => addresses.has(addressBytes(address), 0, familyOf(address) === 4 ? 4 : 16);
      const seen = tracked.filter(({ family }) => addresses.families.has(family)).length;
      const hit = new Set(tracked.flatMap(addressesOf).filter(has));
      passes.push([...hit].sort());
      return { deleted: remove((flow) => addressesOf(flow).some(has)), seen };
    }),
    async reviewFlows(of, review) {
      await Promise.resolve();
      const addresses = of === 'all' ? undefined : new Set(parsedAddresses(of).keys());
      const done = { deleted: 0, marked: 0 };
      const looked = tracked.filter((flow) => !addresses || addressesOf(flow).some((address) => addresses.has(address)));
      for (const flow of looked) {
        const change = review(recordOf(flow));
        if (change === 'delete') done.deleted += remove((each) => each === flow);
        else if (change) {
          tracked[tracked.indexOf(flow)] = withMark(flow, change);
          done.marked++;
        }
      }
      return { ...done, seen: tracked.length + done.deleted };
    },
    async markFlows(mask, next) {
      await Promise.resolve();
      let marked = 0;
      for (const [index, flow] of tracked.entries()) {
        const mark = next(flow.mark ?? 0);
        if (((mark ^ (flow.mark ?? 0)) & mask) === 0) continue;
        tracked[index] = withMark(flow, { mark, mask });
        marked++;
      }
      return { marked, seen: tracked.length };
    },
    deleteFlow: (original, zone = 0) => (remove((flow) => flow.zone === zone && same(flow.original, original)) > 0 ? 'deleted' : 'absent'),
    flows: async () => [...tracked],
    count: () => tracked.length,
    close: () => undefined,
  };
}

function withMark({ mark: before = 0, ...flow }: Flow, { mark, mask }: { readonly mark: number; readonly mask: number }): Flow {
  const becomes = ((before & ~mask) | (mark & mask)) >>> 0;
  return { ...flow, ...(becomes !== 0 && { mark: becomes }) };
}

function recordOf({ family, original, reply, mark = 0 }: Flow): FlowRecord {
  const sides = ({ source, destination, sourcePort = 0, destinationPort = 0 }: FlowTuple): FlowSides => ({
    source: addressBytes(source),
    destination: addressBytes(destination),
    sourcePort,
    destinationPort,
  });
  return { family, protocol: original.protocol, original: sides(original), reply: sides(reply), mark };
}
