// What a bench is, and the one shape in which results are printed.

export type Measurement = {
  /** With its unit: `remote endpoint added, p50 ms`. */
  readonly metric: string;
  /** The size at which it was taken. */
  readonly at?: number | string;
  readonly value: number;
  /** What it is held to; `ok` then says whether it holds. */
  readonly target?: number;
};

export type BenchOptions = ReadonlyMap<string, string>;

export type Bench = {
  readonly description: string;
  /** `--name VALUE` options that it takes, with what they mean. */
  readonly options?: Readonly<Record<string, string>>;
  readonly run: (options: BenchOptions, progress: (line: string) => void) => Promise<readonly Measurement[]>;
};

/** The value below which the share `quantile` of the samples lies (nearest rank). */
export function quantile(samples: readonly number[], share: number): number {
  if (samples.length === 0) throw new RangeError('no samples');
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}

/** p50 and p99 of samples, as two measurements. */
export function percentiles(metric: string, samples: readonly number[], at?: number | string, target?: number): Measurement[] {
  return [0.5, 0.99].map((share) => ({
    metric: `${metric}, p${share * 100} ms`,
    ...(at !== undefined && { at }),
    value: Math.round(quantile(samples, share) * 1000) / 1000,
    ...(target !== undefined && share === 0.5 && { target }),
  }));
}
