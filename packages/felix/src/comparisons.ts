// When what the kernel holds is compared as a whole with what is wanted: at intervals, and when somebody else has changed rules. Pure: who asks says what time it is.

/** How often, in milliseconds; 0: never. */
export type ComparisonIntervals = { readonly tablesMs: number; readonly devicesMs: number };

/** What the last apply of the tables was like. */
export type TablesReport = { readonly resynced: boolean; readonly operations: number; readonly tookMs: number };

/** Somebody who changes rules all the time must not have the tables compared all the time: at most a twentieth of it goes there. */
const pauseOfTime = 20;
const longestPauseMs = 5000;

export class ComparisonSchedule {
  /** When each was last due, or began to be counted. */
  #last: { tablesMs: number; devicesMs: number } | undefined;
  #strangersChangedRules = false;
  /** From when on the tables may be compared again because somebody else has changed rules. */
  #patientUntilMs = Number.NEGATIVE_INFINITY;

  /** Somebody else has changed rules, of whomever. */
  noteStrangers(): void {
    this.#strangersChangedRules = true;
  }

  /** Somebody else has changed rules, and the tables were not compared since. */
  get strangersChangedRules(): boolean {
    return this.#strangersChangedRules;
  }

  /** What is to be compared now. Whoever asks compares it; it is not due again before another interval has passed. */
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
   * The tables were applied at that time. After a comparison that found nothing, strangers' changes are not looked into for a while. Whoever really touches our tables
   * finds them put right each time.
   */
  noteApplied(atMs: number, { resynced, operations, tookMs }: TablesReport): void {
    if (resynced) this.#patientUntilMs = atMs + (operations > 0 ? 0 : Math.min(longestPauseMs, tookMs * pauseOfTime));
  }

  /** How long it is until something is due; Infinity: nothing will be. */
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
