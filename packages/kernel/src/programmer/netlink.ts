// A kernel table over rtnetlink, for any kind of object with its messages.
import { getLink } from '../links/messages.ts';
import { MessageWriter } from '../netlink/attributes.ts';
import { DumpRefused, DumpSocket, type DumpVisitor } from '../netlink/dump.ts';
import { openMonitor } from '../netlink/monitor.ts';
import { NetlinkError, type NetlinkMessage, type NetlinkSocket, netlinkProtocol, openNetlinkDescriptor, openNetlinkSocket } from '../netlink/socket.ts';
import type { Operation } from './diff.ts';
import type { Change, KernelTable, Refusal, RefusalCode } from './table.ts';

/** How a kind of object is encoded in netlink. */
export type NetlinkWords<Held> = {
  /** The objects' name for errors: `the routes`. */
  readonly plural: string;
  readonly groups: readonly number[];
  /** Parses a message of a dump or of the groups; undefined for a message about anything but an object of this kind. */
  parse(message: NetlinkMessage): Change<Held> | undefined;
  write(writer: MessageWriter, sequence: number, operation: Operation<Held>): void;
};

/** Builds the request for a dump with this sequence number. */
export type DumpRequest = (sequence: number) => Uint8Array;

/** A kernel table that can also be read in part. */
export interface NetlinkTable<Held> extends KernelTable<Held> {
  /** Reads like `read`, but with dumps of the caller's choice, of whose messages only those count that `accept` returns true for. */
  dump(requests: readonly DumpRequest[], accept: (message: NetlinkMessage) => boolean): readonly Held[];
}

/** One send carries at most this many messages, so that their answers fit into any receive buffer. */
const messagesAtOnce = 500;

/**
 * Opens a table of the objects that `dumps` lists, limited to those whose message `concerns` accepts. It is of the calling thread's network namespace: its sockets stay there.
 * Keeps the process alive until closed. Throws NetlinkError when the kernel refuses.
 * Longer than 80 lines: the four verbs of one interface around the sockets that they share.
 */
export function openNetlinkTable<Held>(
  words: NetlinkWords<Held>,
  dumps: readonly DumpRequest[],
  concerns: (message: NetlinkMessage) => boolean = () => true,
): NetlinkTable<Held> {
  const socket = openNetlinkSocket(netlinkProtocol.route);
  const slowDumps = new DumpSocket(openNetlinkDescriptor(netlinkProtocol.route));
  const monitor = openMonitor();
  const ownPort = portOf(socket);
  const writer = new MessageWriter();
  const watchers = new Set<{ onChanges(changes: readonly Change<Held>[]): void; onLost(): void }>();

  // Subscribed now, not with the first watcher: that may run in another namespace.
  monitor.subscribe(
    netlinkProtocol.route,
    words.groups,
    (messages) => {
      if (watchers.size === 0) return;
      const changes = messages.flatMap((message) => (message.portId !== ownPort && concerns(message) ? (words.parse(message) ?? []) : []));
      if (changes.length > 0) for (const watcher of [...watchers]) watcher.onChanges(changes);
    },
    () => {
      for (const watcher of [...watchers]) watcher.onLost();
    },
  );

  function dump(requests: readonly DumpRequest[], accept: (message: NetlinkMessage) => boolean): readonly Held[] {
    return requests.flatMap((request) => {
      const { answers, refusals } = socket.exchange([request(socket.nextSequence())]);
      const [refusal] = refusals;
      if (refusal?.code === 'ENOENT') return []; // a routing table without routes does not exist
      if (refusal)
        throw new NetlinkError(refusal.code, `cannot read ${words.plural}: the kernel says ${refusal.code}${refusal.detail ? ` (${refusal.detail})` : ''}`);
      return answers.flatMap((answer) => (accept(answer) ? (words.parse(answer)?.object ?? []) : []));
    });
  }

  async function readInSlices(visit: (object: Held) => void): Promise<void> {
    for (const request of dumps) {
      const take: DumpVisitor = (buffer, start, end, type) => {
        const message = { type, flags: 0, sequence: 0, portId: 0, payload: buffer.subarray(start, end) };
        const change = concerns(message) ? words.parse(message) : undefined;
        if (change) visit(change.object);
      };
      try {
        await slowDumps.read(request(socket.nextSequence()), take);
      } catch (error) {
        if (!(error instanceof DumpRefused) || error.code !== 'ENOENT') throw error; // as in `dump`
      }
    }
  }

  function commit(operations: readonly Operation<Held>[]): readonly Refusal<Held>[] {
    const refused: Refusal<Held>[] = [];
    for (let first = 0; first < operations.length; first += messagesAtOnce) {
      const bySequence = new Map<number, Operation<Held>>();
      writer.reset();
      for (const operation of operations.slice(first, first + messagesAtOnce)) {
        const sequence = socket.nextSequence();
        bySequence.set(sequence, operation);
        words.write(writer, sequence, operation);
      }
      for (const { sequence, code, detail } of socket.exchange([writer.bytes()]).refusals) {
        const operation = bySequence.get(sequence);
        if (operation) refused.push({ operation, code: refusalCode(code), errno: code, ...(detail === undefined ? {} : { detail }) });
      }
    }
    return refused;
  }

  return {
    read: () => dump(dumps, concerns),
    dump,
    readInSlices,
    commit,
    watch(onChanges, onLost) {
      const watcher = { onChanges, onLost };
      watchers.add(watcher);
      return { close: () => watchers.delete(watcher) };
    },
    close() {
      slowDumps.close();
      monitor.close();
      socket.close();
    },
  };
}

/** The port that the kernel gave the socket. In the kernel's notifications it identifies a change's author. Learnt from an answer about link 1, which every namespace has. */
export function portOf(socket: NetlinkSocket): number {
  const [answer] = socket.exchange([getLink(socket.nextSequence(), 1)]).answers;
  if (!answer) throw new NetlinkError('ENODEV', 'cannot learn the port of a netlink socket: the kernel did not describe link 1');
  return answer.portId;
}

function refusalCode(errno: string): RefusalCode {
  switch (errno) {
    case 'ENODEV':
    case 'ENXIO':
      return 'DEVICE_GONE';
    case 'ENETDOWN':
      return 'DEVICE_DOWN';
    case 'EEXIST':
      return 'EXISTS';
    case 'ESRCH':
    case 'ENOENT':
      return 'ABSENT';
    default:
      return 'REFUSED';
  }
}
