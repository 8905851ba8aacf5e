// Tracks the reports of ports that have vanished from etcd, and judges whether they vanished rightly.
import type { Found } from '../sync/plan.ts';

/** The vanished reports of one port: their last revisions, by key. */
export type Vanished = ReadonlyMap<string, number>;

/**
 * How a report has vanished. `wrongly`: its endpoint is still in etcd, and was reported after it was written. `rightly`: the driver removed its endpoint, and may have written a new one
 * meanwhile.
 */
export type Vanishing = 'rightly' | 'wrongly';

/** Judges a vanished report. @param endpoint the endpoint in etcd, read after the report had vanished @param reportedAt the revision of the report */
export const vanishingOf = (endpoint: ReturnType<Found['get']>, reportedAt: number): Vanishing =>
  endpoint && endpoint.createRevision < reportedAt ? 'wrongly' : 'rightly';

/** All vanished reports, by port. */
export class Vanishings {
  readonly #byPort = new Map<string, Map<string, number>>();

  /** Records that a report has vanished. @param reportedAt its revision */
  add(port: string, key: string, reportedAt: number): void {
    this.#byPort.set(port, (this.#byPort.get(port) ?? new Map<string, number>()).set(key, reportedAt));
  }

  /** Forgets a vanished report, or all of a port. @param reportedAt the revision of the report; a later one that has vanished too stays */
  forget(port: string, key?: string, reportedAt?: number): void {
    const ofPort = this.#byPort.get(port);
    if (key !== undefined && (reportedAt === undefined || ofPort?.get(key) === reportedAt)) ofPort?.delete(key);
    if (key === undefined || ofPort?.size === 0) this.#byPort.delete(port);
  }

  /** A copy of the vanished reports of a port. Reports that vanish later are not in it. */
  of(port: string): Vanished {
    return new Map(this.#byPort.get(port));
  }
}
