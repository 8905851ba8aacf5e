// Limits how much of the resolver one guest can use, so that no guest keeps the others from their answers.

/** How many queries of one guest can wait for Dnsmasq's answer at the same time. */
export const mostWaiting = 64;
/** How many TCP connections one guest can have open at the same time. */
export const mostConnections = 8;
/** After how long without a query a TCP connection is closed. */
export const idleMs = 10_000;
/** How long to wait for Dnsmasq's answer. By then the guest has repeated its query. */
export const waitMs = 10_000;

/** Counts the queries or connections that guests have open. */
export interface Shares {
  /** Counts one more for the guest. Returns false when the guest has as many as it can have. */
  take(guest: string): boolean;
  giveBack(guest: string): void;
}

/** A counter that allows each guest this many. */
export function createShares(most: number): Shares {
  const taken = new Map<string, number>();
  return {
    take(guest) {
      const count = taken.get(guest) ?? 0;
      if (count >= most) return false;
      taken.set(guest, count + 1);
      return true;
    },
    giveBack(guest) {
      const count = (taken.get(guest) ?? 0) - 1;
      if (count > 0) taken.set(guest, count);
      else taken.delete(guest);
    },
  };
}
