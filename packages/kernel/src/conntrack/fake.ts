// Flows in memory, with the kernel's manners.
import { familyOf, ipBytes } from '../addresses/ip.ts';
import type { Conntrack, Flow, FlowTuple } from './flow.ts';
import { sharedPasses } from './passes.ts';

export interface FakeConntrack extends Conntrack {
  readonly tracked: Flow[];
  /** The addresses of each pass that was made. */
  readonly passes: (readonly string[])[];
}

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
      await Promise.resolve(); // not in one go: others have their turn
      const has = (address: string): boolean => addresses.has(ipBytes(address), 0, familyOf(address) === 4 ? 4 : 16);
      const seen = tracked.filter(({ family }) => addresses.families.has(family)).length;
      const hit = new Set(tracked.flatMap(addressesOf).filter(has));
      passes.push([...hit].sort());
      return { deleted: remove((flow) => addressesOf(flow).some(has)), seen };
    }),
    async markFlows(mask, next) {
      await Promise.resolve();
      let marked = 0;
      for (const [index, flow] of tracked.entries()) {
        const mark = flow.mark ?? 0;
        const becomes = ((mark & ~mask) | (next(mark) & mask)) >>> 0;
        if (becomes === mark) continue;
        const { mark: _, ...rest } = flow;
        tracked[index] = { ...rest, ...(becomes !== 0 && { mark: becomes }) };
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
