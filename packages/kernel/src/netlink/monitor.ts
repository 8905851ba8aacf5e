// What the kernel tells of its own accord: multicast messages, as they come, on Node's own event loop.
import koffi from 'koffi';
import { close } from './libc.ts';
import { inNamespace } from './namespace.ts';
import { type NetlinkMessage, openNetlinkDescriptor, receiveMessages } from './socket.ts';

export interface NetlinkMonitor {
  /**
   * Joins multicast groups of a netlink protocol (numbers, not masks) in a socket of its own. From the return of this call on nothing is missed silently: messages
   * come in order, many at a time when many wait; `onOverrun` says that the kernel had to drop some (those that it had kept are thrown away then), so that what is
   * known is to be read afresh. With `onlyType`, other types of message are thrown away before they reach this program. An error in a callback is an uncaught
   * exception. Throws NetlinkError when the kernel refuses.
   */
  subscribe(
    protocol: number,
    groups: readonly number[],
    onMessages: (messages: readonly NetlinkMessage[]) => void,
    onOverrun: () => void,
    onlyType?: number,
  ): Subscription;
  /** Ends all subscriptions. No callback comes any more. */
  close(): void;
}

export type Subscription = { close(): void };

/** Messages taken out at once, so that a kernel that never stops talking leaves the rest of the program its turn. */
const datagramsPerTurn = 256;
const receiveBytes = 256 * 1024;

/** Opens a monitor; it keeps the process alive while it has subscriptions. In `namespace`, if given (see `inNamespace`). */
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

    /** Until the queue has been empty once, the kernel drops every further message without telling again: only a reading that starts after that misses nothing. */
    function overrun(): void {
      while (receiveMessages(fd, buffer) !== undefined);
      onOverrun();
    }

    // The callback's first argument is libuv's status (the type says otherwise): negative after ENOBUFS, and then the handle has stopped.
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
