// The ports' reports that have vanished from etcd, and whether they did so rightly.
import type { Found } from '../sync/plan.ts';

/** The reports of one port that have vanished: the revisions that they had, by key. */
export type Vanished = ReadonlyMap<string, number>;

/**
 * How a report has vanished. `wrongly`: although its endpoint stands in etcd, and was reported since it was written. `rightly`: with its endpoint, because the driver removed that; it may
 * have written it anew meanwhile.
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

  /** The vanished reports of a port now. What vanishes later is not among them. */
  of(port: string): Vanished {
    return new Map(this.#byPort.get(port));
  }
}
