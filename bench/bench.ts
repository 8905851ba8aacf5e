// Defines a bench and the form of its results.

/** One result. */
export type Measurement = {
  /** The name of the measured quantity, with its unit: `remote endpoint added, p50 ms`. */
  readonly metric: string;
  /** The size at which it was measured. */
  readonly at?: number | string;
  readonly value: number;
  /** The greatest acceptable value. With `--json`, `ok` says whether it is met. */
  readonly target?: number;
};

/** The options of a run, by name. */
export type BenchOptions = ReadonlyMap<string, string>;

/** A bench. */
export type Bench = {
  readonly description: string;
  /** The options that it takes (`--name VALUE`), with their meaning. */
  readonly options?: Readonly<Record<string, string>>;
  readonly run: (options: BenchOptions, progress: (line: string) => void) => Promise<readonly Measurement[]>;
};

/** The value below which this share of the samples lies (nearest rank). */
export function quantile(samples: readonly number[], share: number): number {
  if (samples.length === 0) throw new RangeError('no samples');
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}

/** The p50 and p99 of samples in milliseconds, as two measurements. */
export function percentiles(metric: string, samples: readonly number[], at?: number | string, target?: number): Measurement[] {
  return [0.5, 0.99].map((share) => ({
    metric: `${metric}, p${share * 100} ms`,
    ...(at !== undefined && { at }),
    value: Math.round(quantile(samples, share) * 1000) / 1000,
    ...(target !== undefined && share === 0.5 && { target }),
  }));
}
