// The host's own addresses and next hops, from any sources of links and routes.
import type { LinkChange, Links } from '../links/link.ts';
import type { KernelTable } from '../programmer/table.ts';
import { HopCounts } from './hop-counts.ts';
import type { RouteAddress, RouteAddresses } from './hops.ts';
import type { HostAddress, HostAddresses } from './host-address.ts';

/** How failures are reported, how time passes, and which links are left out. */
export type HostAddressesOptions = {
  /** Called when a reading of the routes failed. It is retried, and the known addresses stay. */
  readonly onTrouble?: (error: unknown) => void;
  /** Calls a function after a pause. */
  readonly later?: (run: () => void, pauseMs: number) => void;
  readonly nowMs?: () => number;
  /** Whether the addresses of a link with this name are left out, such as the taps of a thousand workloads. Called for each decision. */
  readonly leavesOut?: (device: string) => boolean;
};

type RouteSource = Pick<KernelTable<RouteAddresses>, 'read' | 'readInSlices' | 'watch' | 'close'>;

/** The longest pause between two readings. On a busy host a reading takes long however few routes there are, and a change must not wait twenty times as long. */
const [shortestPauseMs, longestPauseMs] = [50, 2000] as const;
/** Readings take at most a twentieth of the time, however many routes change. */
const pausePerReading = 20;

/**
 * Reads `routes` at once, and closes them in the end; `links` stay the caller's. Throws what reading throws.
 * It is longer than 80 lines because the two sources, the reading and the listeners share their state. The decisions are in hop-counts.ts.
 */
export function hostAddressesFrom(links: Links, routes: RouteSource, options: HostAddressesOptions = {}): HostAddresses {
  const { onTrouble = () => undefined, later = setTimeout, nowMs = () => performance.now(), leavesOut = () => false } = options;
  const listeners = new Set<() => void>();
  let counts = new HopCounts();
  /** Filled by the current reading, so that it does not miss changes meanwhile. */
  let reading: HopCounts | undefined;
  /** The current counts, while changes may still come that were read with them. */
  let justRead: HopCounts | undefined;
  let waiting = false;
  let pauseMs: number = shortestPauseMs;
  let closed = false;

  function tell(): void {
    for (const listener of [...listeners]) listener();
  }

  /** Schedules a reading, because known addresses may be gone. */
  function doubt(): void {
    if (waiting || closed) return;
    waiting = true;
    later(() => {
      waiting = false;
      void readAgain().catch((error: unknown) => {
        if (closed) return;
        onTrouble(error);
        doubt();
      });
    }, pauseMs);
  }

  function takeRead(read: HopCounts): void {
    counts = read;
    justRead = read;
    void changesHaveCome().then(() => {
      if (justRead === read) justRead = undefined;
    });
  }

  async function readAgain(): Promise<void> {
    if (closed) return;
    if (reading) return doubt();
    const startMs = nowMs();
    const fresh = new HopCounts();
    reading = fresh;
    try {
      await routes.readInSlices((route) => fresh.add(route));
    } finally {
      reading = undefined;
    }
    pauseMs = Math.min(longestPauseMs, Math.max(shortestPauseMs, (nowMs() - startMs) * pausePerReading));
    const differing = fresh.differences(counts);
    takeRead(fresh);
    // The loss of a link's addresses has been reported with the link.
    if (differing.some((address) => isTold(address, address.is === 'next-hop'))) tell();
  }

  const subscriptions = [
    routes.watch((changes) => {
      const { added, inDoubt } = counts.apply(changes, counts === justRead);
      const again = reading?.apply(changes, true).inDoubt;
      if (added.some((address) => isTold(address, true))) tell();
      if (inDoubt || again) doubt();
    }, doubt),
    links.watch((change) => {
      if (mayHaveDroppedRoutes(change)) doubt();
      if (![...change.links, ...change.addresses].every(leavesOut)) tell();
    }),
  ];

  /** Whether the link may have lost IPv4 routes: the kernel does not report these when a link goes down or away, or loses its last address. */
  function mayHaveDroppedRoutes({ links: changed, addresses, lostIpv4 }: LinkChange): boolean {
    for (const { deviceIndex } of counts.nextHops) {
      const name = nameOf(deviceIndex);
      if (name === undefined || changed.has(name) || addresses.has(name) || lostIpv4.has(name)) return true;
    }
    return false;
  }

  const nameOf = (deviceIndex: number | undefined): string | undefined => (deviceIndex === undefined ? undefined : links.nameOf(deviceIndex));

  /** Whether an address is reported. @param otherwise the answer for an address of a link that has no name now */
  function isTold({ deviceIndex }: RouteAddress, otherwise: boolean): boolean {
    const name = nameOf(deviceIndex);
    return name === undefined ? otherwise : !leavesOut(name);
  }

  function onLinks(): HostAddress[] {
    const found: HostAddress[] = [];
    for (const device of links.links.keys())
      if (!leavesOut(device))
        for (const { address, family } of links.addresses(device)) found.push({ is: 'own', prefix: `${address}/${family === 4 ? 32 : 128}`, device });
    return found;
  }

  function close(): void {
    closed = true;
    listeners.clear();
    for (const subscription of subscriptions) subscription.close();
    routes.close();
  }

  try {
    for (const route of routes.read()) counts.add(route);
    takeRead(counts);
  } catch (error) {
    close();
    throw error;
  }

  return {
    read() {
      const found = onLinks();
      for (const { is, prefix, deviceIndex } of counts.addresses) {
        const device = nameOf(deviceIndex);
        if (device === undefined || !leavesOut(device)) found.push({ is, prefix, device });
      }
      return found;
    },
    watch(listener) {
      const own = (): void => listener();
      listeners.add(own);
      return { close: () => listeners.delete(own) };
    },
    audit: readAgain,
    close,
  };
}

/** Resolves when the kernel's changes from before the call have been reported: they wait in a socket, which is read in the next turn of the event loop. */
async function changesHaveCome(): Promise<void> {
  for (let turn = 0; turn < 2; turn += 1) await new Promise(setImmediate);
}
