// Network namespaces: sockets remember the one that they were opened in.
import { closeSync, openSync } from 'node:fs';
import { errno, errnoName, setns } from './libc.ts';
import { NetlinkError } from './socket.ts';

const cloneNewnet = 0x40000000;

/**
 * What `body` gives, called with this thread inside a network namespace (a name below /run/netns as `ip netns` makes them, or a path such as /proc/PID/ns/net).
 * Sockets that `body` opens stay there; everything else is outside again afterwards. `body` must be done when it returns: what it would do later happens outside,
 * and Node's own sockets and files are opened by other threads, which never leave. Throws NetlinkError where the namespace cannot be entered.
 */
export function inNamespace<T>(namespace: string, body: () => T extends Promise<unknown> ? never : T): T {
  const path = namespace.includes('/') ? namespace : `/run/netns/${namespace}`;
  const outside = openNamespace('/proc/thread-self/ns/net');
  try {
    const inside = openNamespace(path);
    const entered = setns(inside, cloneNewnet);
    const why = entered < 0 ? errnoName(errno()) : '';
    closeSync(inside);
    if (entered < 0) throw new NetlinkError(why, `cannot enter the network namespace ${path}: ${why}`);
    try {
      return body();
    } finally {
      // Going on in the wrong namespace would program the wrong machine: nothing that follows may run.
      if (setns(outside, cloneNewnet) < 0) process.abort();
    }
  } finally {
    closeSync(outside);
  }
}

/** On this thread: what Node does synchronously. Its errors carry their code, so that none is read from errno. */
function openNamespace(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    const code = String((cause as NodeJS.ErrnoException).code);
    throw new NetlinkError(code, `cannot open the network namespace ${path}: ${code}`);
  }
}
