// Receives the kernel's multicast messages on Node's own event loop.
import koffi from 'koffi';
import { close } from './libc.ts';
import { inNamespace } from './namespace.ts';
import { type NetlinkMessage, openNetlinkDescriptor, receiveMessages } from './socket.ts';

/** A source of multicast messages. */
export interface NetlinkMonitor {
  /**
   * Joins multicast groups of a netlink protocol (numbers, not masks) with a socket of its own. From the return of this call on, no message is lost silently. Messages
   * arrive in order, many at a time when many wait. `onOverrun` reports that the kernel had to drop messages (the queued ones are discarded then), so the caller has to
   * read the state afresh. With `onlyType`, the kernel discards messages of other types. An error in a callback is an uncaught
   * exception. Throws NetlinkError when the kernel refuses.
   */
  subscribe(
    protocol: number,
    groups: readonly number[],
    onMessages: (messages: readonly NetlinkMessage[]) => void,
    onOverrun: () => void,
    onlyType?: number,
  ): Subscription;
  /** Ends all subscriptions. No callback is called any more. */
  close(): void;
}

/** A subscription that can be ended. */
export type Subscription = { close(): void };

/** How many datagrams are read at a time, so that the rest of the program runs also when messages never stop. */
const datagramsPerTurn = 256;
const receiveBytes = 256 * 1024;

/** Opens a monitor, in `namespace` if given (see `inNamespace`). It keeps the process alive while it has subscriptions. */
export function openMonitor(namespace?: string): NetlinkMonitor {
  const subscriptions = new Set<Subscription>();
  const buffer = new Uint8Array(receiveBytes);

  function subscribe(
    protocol: number,
    groups: readonly number[],
    onMessages: (messages: readonly NetlinkMessage[]) => void,
    onOverrun: () => void,
    onlyType?: number,
  ): Subscription {
    const open = (): number => openNetlinkDescriptor(protocol, groups, onlyType);
    const fd = namespace === undefined ? open() : inNamespace(namespace, open);
    let closed = false;

    function take(): void {
      const messages: NetlinkMessage[] = [];
      for (let turn = 0; turn < datagramsPerTurn; turn++) {
        const datagram = receiveMessages(fd, buffer);
        if (datagram === undefined) break;
        if (datagram === 'overrun') {
          overrun();
          return;
        }
        messages.push(...datagram);
      }
      if (messages.length > 0) onMessages(messages);
    }

    /** Discards the queue and reports the overrun. Until the queue has been empty once, the kernel drops further messages without reporting that, so only a reading that starts afterwards misses nothing. */
    function overrun(): void {
      while (receiveMessages(fd, buffer) !== undefined);
      onOverrun();
    }

    // The callback's first argument is libuv's status (against its type). It is negative after ENOBUFS, and the handle has stopped then.
    const onReadable = (...args: readonly unknown[]): void => {
      if (closed) return;
      if (typeof args[0] === 'number' && args[0] < 0) handle.start({ readable: true }, onReadable);
      take();
    };
    const handle = koffi.node.poll(fd, { readable: true }, onReadable);
    const subscription: Subscription = {
      close() {
        if (closed) return;
        closed = true;
        subscriptions.delete(subscription);
        handle.close();
        close(fd);
      },
    };
    subscriptions.add(subscription);
    return subscription;
  }

  return {
    subscribe,
    close() {
      for (const subscription of [...subscriptions]) subscription.close();
    },
  };
}
