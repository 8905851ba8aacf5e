// How much of the resolver one guest can occupy, so that no guest keeps the others from their answers.

/** How many questions of one guest wait for an answer from outside at the same time. */
export const mostWaiting = 64;
/** How many TCP connections of one guest are open at the same time. */
export const mostConnections = 8;
/** After how long without a question a TCP connection is closed. */
export const idleMs = 10_000;
/** After how long an answer from outside is not waited for any longer. The guest has repeated its question by then. */
export const waitMs = 10_000;

/** Counts what guests have open. */
export interface Shares {
  /** Takes one of the guest's shares. Returns false when it has none left. */
  take(guest: string): boolean;
  giveBack(guest: string): void;
}

/** Shares of which each guest has this many. */
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
