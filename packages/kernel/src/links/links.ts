// `Links` over any source: it reads, then follows the events, and reads again when some were lost.
import type { LinkChange, LinkSource, Links } from './link.ts';
import { createLinkTable } from './table.ts';

/** How failures are reported and retried. */
export type LinksOptions = {
  /** Called when a reading after lost events failed; it is retried. */
  readonly onTrouble?: (error: unknown) => void;
  /** Whether a failed reading is retried; any other error is thrown. */
  readonly isTransient?: (error: unknown) => boolean;
  /** Calls a function after a pause. */
  readonly later?: (run: () => void) => void;
};

const pauseMs = 50;

/** Creates the links of a source, which is read at once. Throws the reading's errors. */
export function linksFrom(source: LinkSource, options: LinksOptions = {}): Links {
  const { onTrouble = () => undefined, isTransient = () => false, later = (run) => setTimeout(run, pauseMs) } = options;
  const table = createLinkTable();
  const listeners = new Set<(change: LinkChange) => void>();
  let closed = false;

  function tell(change: LinkChange): void {
    if (change.links.size === 0 && change.addresses.size === 0 && change.lostIpv4.size === 0) return;
    for (const listener of [...listeners]) listener(change);
  }

  function readAfterLoss(): void {
    if (closed) return;
    let reading: ReturnType<LinkSource['read']>;
    try {
      reading = source.read();
    } catch (error) {
      if (!isTransient(error)) throw error;
      onTrouble(error);
      later(readAfterLoss);
      return;
    }
    tell(table.replace(reading, true));
  }

  // Watching starts first, so that a change during the reading arrives as an event.
  const subscription = source.watch((events) => tell(table.apply(events)), readAfterLoss);
  try {
    table.replace(source.read(), false);
  } catch (error) {
    subscription.close();
    source.close();
    throw error;
  }

  return {
    links: table.links,
    link: (name) => table.links.get(name),
    nameOf: (index) => table.nameOf(index) ?? source.nameOf(index),
    knownNameOf: (index) => table.nameOf(index),
    addresses: table.addresses,
    watch(listener) {
      const own = (change: LinkChange): void => listener(change);
      listeners.add(own);
      return { close: () => listeners.delete(own) };
    },
    refresh: () => tell(table.replace(source.read(), false)),
    close() {
      closed = true;
      listeners.clear();
      subscription.close();
      source.close();
    },
  };
}
