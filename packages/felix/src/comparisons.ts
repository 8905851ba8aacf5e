// Decides when the whole kernel state is compared with the desired state: at intervals, and when another program has changed rules. Pure: the caller passes the time.

/** Time between two comparisons of the nftables tables, and between two comparisons of routes and neighbours; 0 for none. */
export type ComparisonIntervals = { readonly tablesMs: number; readonly devicesMs: number };

/** What the last apply of the tables did: whether it compared them as a whole, how many operations it sent, and how long it took. */
export type TablesReport = { readonly resynced: boolean; readonly operations: number; readonly tookMs: number };

/** The pause after a comparison that found nothing, as a multiple of its duration. A program that changes rules all the time costs us at most a twentieth of the time. */
const pauseOfTime = 20;
const longestPauseMs = 5000;

/** The schedule of comparisons. Times are those of a steady clock. */
export class ComparisonSchedule {
  /** When each comparison was last due, or when the first call was. */
  #last: { tablesMs: number; devicesMs: number } | undefined;
  #strangersChangedRules = false;
  /** The time until which changes of other programs do not lead to a comparison. */
  #patientUntilMs = Number.NEGATIVE_INFINITY;

  /** Notes that another program has changed rules, ours or any others. */
  noteStrangers(): void {
    this.#strangersChangedRules = true;
  }

  /** Whether another program has changed rules since the tables were last compared. */
  get strangersChangedRules(): boolean {
    return this.#strangersChangedRules;
  }

  /** Returns what is due to be compared. The caller must compare it, because it is not due again before another interval has passed. */
  takeDue(nowMs: number, intervals: ComparisonIntervals): { readonly tables: boolean; readonly devices: boolean } {
    this.#last ??= { tablesMs: nowMs, devicesMs: nowMs };
    const isDue = (what: 'tablesMs' | 'devicesMs'): boolean => intervals[what] > 0 && nowMs >= this.#last![what] + intervals[what];
    const [tables, devices] = [isDue('tablesMs'), isDue('devicesMs')];
    if (tables) this.#last.tablesMs = nowMs;
    if (devices) this.#last.devicesMs = nowMs;
    const strangers = this.#strangersChangedRules && nowMs >= this.#patientUntilMs;
    if (strangers) this.#strangersChangedRules = false;
    return { tables: tables || strangers, devices };
  }

  /**
   * Notes that the tables were applied. After a comparison that found nothing, changes of other programs cause no comparison for a while. After one that had to repair our tables
   * there is no such pause.
   */
  noteApplied(atMs: number, { resynced, operations, tookMs }: TablesReport): void {
    if (resynced) this.#patientUntilMs = atMs + (operations > 0 ? 0 : Math.min(longestPauseMs, tookMs * pauseOfTime));
  }

  /** Milliseconds until something is due; Infinity when nothing will be. */
  restMs(nowMs: number, { tablesMs, devicesMs }: ComparisonIntervals): number {
    const last = this.#last ?? { tablesMs: nowMs, devicesMs: nowMs };
    const dueMs = [
      tablesMs > 0 ? last.tablesMs + tablesMs : Number.POSITIVE_INFINITY,
      devicesMs > 0 ? last.devicesMs + devicesMs : Number.POSITIVE_INFINITY,
      this.#strangersChangedRules ? this.#patientUntilMs : Number.POSITIVE_INFINITY,
    ];
    return Math.max(0, Math.min(...dueMs) - nowMs);
  }
}
