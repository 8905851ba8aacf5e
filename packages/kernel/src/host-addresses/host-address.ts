// The addresses of this host, and the next hops of its routes, as plain values. No I/O.

/**
 * `own`: an address on a link, or a destination that the kernel delivers to itself (its table `local`: broadcast addresses too). `next-hop`: a router that
 * a route of any table leads through.
 */
export type HostAddress = {
  readonly is: 'own' | 'next-hop';
  /** Canonical text of a prefix, nearly always of one address: `10.0.0.1/32`. */
  readonly prefix: string;
  /** The link's name; absent when the link is gone already, or the route names none. */
  readonly device: string | undefined;
};

/** This host's own addresses and next hops, kept current by the kernel's events. */
export interface HostAddresses {
  /** The addresses as of the last event, in no particular order. An address of two links, or of routes through two links, is listed twice. */
  read(): readonly HostAddress[];
  /** Calls back when the next `read` may differ: at once for new addresses, and after a reading has confirmed it for those that are gone (within 50 ms, later where many routes change). */
  watch(listener: () => void): { close(): void };
  /** Reads the routes again, in slices; watchers are called when something differs. For a periodic check. */
  audit(): Promise<void>;
  close(): void;
}
