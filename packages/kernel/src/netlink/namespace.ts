// Runs code inside a network namespace. A socket stays in the namespace in which it was opened.
import { closeSync, openSync } from 'node:fs';
import { errno, errnoName, setns } from './libc.ts';
import { NetlinkError } from './socket.ts';

const cloneNewnet = 0x40000000;

/**
 * Calls `body` with this thread inside a network namespace (a name in /run/netns, as `ip netns` creates them, or a path such as /proc/PID/ns/net) and returns its result.
 * Sockets that `body` opens stay in the namespace; the thread leaves it afterwards. `body` must be synchronous: later callbacks would run outside,
 * and Node's own sockets and files are opened by other threads, which are never inside. Throws NetlinkError when the namespace cannot be entered.
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
      // In the wrong namespace the process would program the wrong machine, so it must not continue.
      if (setns(outside, cloneNewnet) < 0) process.abort();
    }
  } finally {
    closeSync(outside);
  }
}

/** Opens a namespace's file synchronously, on this thread. Node's errors carry their code, so errno is not needed. */
function openNamespace(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    const code = String((cause as NodeJS.ErrnoException).code);
    throw new NetlinkError(code, `cannot open the network namespace ${path}: ${code}`);
  }
}
