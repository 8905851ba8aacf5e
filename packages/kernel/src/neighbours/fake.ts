// Neighbours in memory, as strict as the kernel, several programs at once.
import type { FakeLinkKernel } from '../links/fake.ts';
import type { Operation } from '../programmer/diff.ts';
import type { Change, Refusal } from '../programmer/table.ts';
import { type KernelNeighbour, neighbourKind } from './neighbour.ts';
import type { NeighbourTable } from './netlink.ts';

/** A kernel's neighbours in memory. */
export interface FakeNeighbours {
  /** Opens the table of one program. The program's own changes are not reported to it. */
  open(): NeighbourTable;
  readonly neighbours: readonly KernelNeighbour[];
  /** All committed operations, one list for each call. */
  readonly commits: (readonly Operation<KernelNeighbour>[])[];
  /** Delivers pending changes to the watchers now, not in the next microtask. */
  deliver(): void;
  /** Drops pending changes; the watchers' `onLost` is called. */
  loseChanges(): void;
}

/** A fake kernel. It is longer than 80 lines because the kernel and the programs that have it open use the same map. */
export function fakeNeighbours(links: FakeLinkKernel, options: { readonly deliverBy?: 'itself' | 'hand' } = {}): FakeNeighbours {
  const { deliverBy = 'itself' } = options;
  const byKey = new Map<string, KernelNeighbour>();
  const programs = new Set<{ onChanges(changes: readonly Change<KernelNeighbour>[]): void; onLost(): void; waiting: Change<KernelNeighbour>[] }>();
  const commits: (readonly Operation<KernelNeighbour>[])[] = [];

  function happen(change: Change<KernelNeighbour>, author?: unknown): void {
    if (change.object.kind === 'proxy') return;
    for (const program of programs) {
      if (program === author) continue;
      program.waiting.push(change);
      if (deliverBy === 'itself' && program.waiting.length === 1) queueMicrotask(deliver);
    }
  }

  function deliver(): void {
    for (const program of programs) {
      const changes = program.waiting;
      program.waiting = [];
      if (changes.length > 0) program.onChanges(changes);
    }
  }

  links.dropped.add((index) => {
    for (const [key, object] of byKey) {
      if (object.deviceIndex !== index) continue;
      byKey.delete(key);
      happen({ is: 'absent', object });
    }
  });

  function open(): NeighbourTable {
    const program = {
      waiting: [] as Change<KernelNeighbour>[],
      onChanges: (_: readonly Change<KernelNeighbour>[]): void => undefined,
      onLost: (): void => undefined,
    };
    return {
      read: () => [...byKey.values()],
      async readInSlices(visit) {
        for (const key of [...byKey.keys()].sort()) {
          const neighbour = byKey.get(key);
          if (neighbour) visit(neighbour);
          await Promise.resolve();
        }
      },
      commit(operations) {
        commits.push(operations);
        return operations.flatMap((operation): Refusal<KernelNeighbour>[] => {
          const { verb, object } = operation;
          const key = neighbourKind.key(object);
          const before = byKey.get(key);
          if (!links.links.has(object.deviceIndex)) return [{ operation, code: 'DEVICE_GONE', errno: 'ENODEV' }];
          if (verb === 'delete') {
            if (!before) return [{ operation, code: 'ABSENT', errno: 'ENOENT' }];
            byKey.delete(key);
            const failed: KernelNeighbour = before.kind === 'proxy' ? before : { kind: 'learned', deviceIndex: before.deviceIndex, address: before.address };
            happen({ is: 'present', object: failed }, program);
            happen({ is: 'absent', object: failed }, program);
          } else if (!before || !neighbourKind.same(before, object)) {
            byKey.set(key, object);
            happen({ is: 'present', object }, program);
          }
          return [];
        });
      },
      watch(onChanges, onLost) {
        Object.assign(program, { onChanges, onLost });
        programs.add(program);
        return { close: () => programs.delete(program) };
      },
      close: () => undefined,
    };
  }

  return {
    open,
    get neighbours() {
      return [...byKey.values()];
    },
    commits,
    deliver,
    loseChanges() {
      for (const program of programs) {
        program.waiting = [];
        program.onLost();
      }
    },
  };
}
