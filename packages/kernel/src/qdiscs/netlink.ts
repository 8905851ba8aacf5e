// The kernel's qdiscs by rtnetlink.

import { openMonitor } from '../netlink/monitor.ts';
import { NetlinkError, type NetlinkMessage, netlinkProtocol, openNetlinkSocket } from '../netlink/socket.ts';
import { portOf } from '../programmer/netlink.ts';
import { dumpFilters, dumpQdiscs, getQdisc, indexOf, qdiscGroups, readFilter, readQdisc, writeOperation } from './messages.ts';
import type { QdiscTable } from './qdisc.ts';

/** What the kernel answers about a qdisc or link that does not exist, or about a built-in one. */
const absent = ['ENOENT', 'EINVAL', 'ENODEV'];

/** Opens the qdiscs of the calling thread's network namespace; sockets stay in it (see `inNamespace`). Throws NetlinkError when the kernel refuses. */
export function openQdiscs(): QdiscTable {
  const socket = openNetlinkSocket(netlinkProtocol.route);
  const monitor = openMonitor();
  const ownPort = portOf(socket);
  const watchers = new Set<{ onChanged(indexes: ReadonlySet<number>): void; onLost(): void }>();

  // Subscribed now, not with the first watcher: that may run in another namespace.
  monitor.subscribe(
    netlinkProtocol.route,
    qdiscGroups,
    (messages) => {
      const indexes = new Set(messages.flatMap((message) => (message.portId === ownPort ? [] : (indexOf(message) ?? []))));
      if (indexes.size > 0) for (const watcher of [...watchers]) watcher.onChanged(indexes);
    },
    () => {
      for (const watcher of [...watchers]) watcher.onLost();
    },
  );

  /** @param harmless codes of refusals that mean "nothing there" */
  function ask(request: Uint8Array, harmless: readonly string[] = []): readonly NetlinkMessage[] {
    const { answers, refusals } = socket.exchange([request]);
    const [refusal] = refusals;
    if (!refusal) return answers;
    if (harmless.includes(refusal.code)) return [];
    throw new NetlinkError(refusal.code, `cannot read the qdiscs: the kernel says ${refusal.code}${refusal.detail ? ` (${refusal.detail})` : ''}`);
  }

  const qdiscAt = (index: number, at: 'root' | 'ingress') =>
    ask(getQdisc(socket.nextSequence(), index, at), absent).flatMap((answer) => readQdisc(answer) ?? [])[0];

  return {
    read(index) {
      const root = qdiscAt(index, 'root');
      const ingress = qdiscAt(index, 'ingress');
      const filters = ingress ? ask(dumpFilters(socket.nextSequence(), index), absent).flatMap((answer) => readFilter(answer) ?? []) : [];
      return {
        ...(root && { root: { kind: root.kind, handle: root.handle, ...(root.bucket && { bucket: root.bucket }) } }),
        ...(ingress && { ingress: ingress.kind }),
        filters,
      };
    },
    links: () => new Set(ask(dumpQdiscs(socket.nextSequence())).flatMap((answer) => readQdisc(answer)?.index ?? [])),
    commit(operation) {
      const [refusal] = socket.exchange([writeOperation(socket.nextSequence(), operation)]).refusals;
      return refusal && { errno: refusal.code, ...(refusal.detail !== undefined && { detail: refusal.detail }) };
    },
    watch(onChanged, onLost) {
      const watcher = { onChanged, onLost };
      watchers.add(watcher);
      return { close: () => watchers.delete(watcher) };
    },
    close() {
      monitor.close();
      socket.close();
    },
  };
}
