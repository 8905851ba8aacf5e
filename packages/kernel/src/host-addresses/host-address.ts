// Which addresses are this host's own, and which its routes lead through: plain values. No I/O.

/**
 * `own`: an address on a link, or a destination that the kernel delivers to itself (its table `local`: broadcast addresses too). `next-hop`: a router that
 * a route of any table leads through.
 */
export type HostAddress = {
  readonly is: 'own' | 'next-hop';
  /** Canonical text of a prefix, nearly always of one address: `10.0.0.1/32`. */
  readonly prefix: string;
  /** The link; absent when it is gone already, or the route names none. */
  readonly device: string | undefined;
};

/** What this host's kernel has for itself, kept current by the kernel's events. */
export interface HostAddresses {
  /** As of the last event, in no particular order; an address that two links have, or routes out of two links lead through, is there twice. */
  read(): readonly HostAddress[];
  /** Calls back when the next `read` may differ, at once for what comes. What goes is told when a reading has confirmed it: within 50 ms, later where many routes change. */
  watch(listener: () => void): { close(): void };
  /** Reads the routes again, in slices; watchers are told when something differs. For a periodic check. */
  audit(): Promise<void>;
  close(): void;
}
