// Qdiscs in memory, as strict as the kernel, several programs at once.
import { unreachable } from '@calico-openstack/agent/errors';
import type { FakeLinkKernel } from '../links/fake.ts';
import {
  bucketHandle,
  checkBucket,
  heldBucket,
  type IngressFilter,
  type LinkQdiscs,
  type QdiscOperation,
  type QdiscRefusal,
  type QdiscTable,
  type RootQdisc,
  redirectPriority,
} from './qdisc.ts';

/** A kernel's qdiscs in memory. */
export interface FakeQdiscs {
  /** Opens the table of one program. The program's own changes are not reported to it. */
  open(): QdiscTable;
  /** All operations, in order. */
  readonly commits: readonly QdiscOperation[];
  /** Adds a qdisc as another program would. */
  occupy(index: number, held: { readonly root?: RootQdisc; readonly ingress?: string; readonly filters?: readonly IngressFilter[] }): void;
  /** Drops pending changes; the watchers' `onLost` is called. */
  loseChanges(): void;
}

/** Qdiscs of the links of a fake. */
export function fakeQdiscs(links: FakeLinkKernel): FakeQdiscs {
  const held = new Map<number, LinkQdiscs>();
  const commits: QdiscOperation[] = [];
  const programs = new Set<{ onChanged(indexes: ReadonlySet<number>): void; onLost(): void }>();
  let lastHandle = 0x8000_0800;

  links.dropped.add((index) => {
    if (!links.links.has(index)) held.delete(index);
  });

  const at = (index: number): LinkQdiscs => {
    const here = (links.links.has(index) && held.get(index)) || { filters: [] };
    return {
      ...here,
      filters: here.filters.map((filter) => (filter.redirectsTo && !links.links.has(filter.redirectsTo) ? { ...filter, redirectsTo: 0 } : filter)),
    };
  };

  function put(index: number, change: Partial<LinkQdiscs>, author?: unknown): void {
    held.set(index, { ...at(index), ...change });
    for (const program of programs) if (program !== author) queueMicrotask(() => program.onChanged(new Set([index])));
  }

  function perform(operation: QdiscOperation, author: unknown): QdiscRefusal | undefined {
    const { index } = operation;
    if (!links.links.has(index)) return { errno: 'ENODEV' };
    const { root, ingress, filters } = at(index);
    switch (operation.verb) {
      case 'create-root':
      case 'change-root':
        checkBucket(operation.bucket);
        if (operation.verb === 'create-root' && root) return { errno: 'EEXIST' };
        if (operation.verb === 'change-root' && (root?.kind !== 'tbf' || root.handle !== bucketHandle)) return { errno: root ? 'EINVAL' : 'ENOENT' };
        put(index, { root: { kind: 'tbf', handle: bucketHandle, bucket: heldBucket(operation.bucket) } }, author);
        return undefined;
      case 'delete-root':
        if (root?.handle !== operation.handle) return { errno: 'EINVAL' };
        held.set(index, { filters, ...(ingress !== undefined && { ingress }) });
        put(index, {}, author);
        return undefined;
      case 'create-ingress':
        if (ingress !== undefined) return { errno: 'EEXIST' };
        put(index, { ingress: 'ingress' }, author);
        return undefined;
      case 'delete-ingress':
        if (ingress === undefined) return { errno: 'EINVAL' };
        held.set(index, { filters: [], ...(root && { root }) });
        put(index, {}, author);
        return undefined;
      case 'create-redirect':
        if (ingress === undefined) return { errno: 'EINVAL' };
        if (!links.links.has(operation.to)) return { errno: 'ENODEV' };
        lastHandle += 1;
        put(index, { filters: [...filters, { kind: 'u32', priority: redirectPriority, protocol: 3, handle: lastHandle, redirectsTo: operation.to }] }, author);
        return undefined;
      case 'delete-filter': {
        const rest = filters.filter(({ handle }) => handle !== operation.filter.handle);
        if (rest.length === filters.length) return { errno: 'ENOENT' };
        put(index, { filters: rest }, author);
        return undefined;
      }
      default:
        return unreachable(operation);
    }
  }

  return {
    commits,
    open() {
      const program = { onChanged: (_: ReadonlySet<number>): void => undefined, onLost: (): void => undefined };
      return {
        read: at,
        links: () => new Set([...held].filter(([index, { root, ingress }]) => links.links.has(index) && (root || ingress)).map(([index]) => index)),
        commit(operation) {
          commits.push(operation);
          return perform(operation, program);
        },
        watch(onChanged, onLost) {
          Object.assign(program, { onChanged, onLost });
          programs.add(program);
          return { close: () => programs.delete(program) };
        },
        close: () => undefined,
      };
    },
    occupy: (index, foreign) => put(index, foreign),
    loseChanges() {
      for (const program of programs) program.onLost();
    },
  };
}
