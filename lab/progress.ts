// Reports the steps of a longer work: one line for each, with the time that it took.

/** A finished step. */
export type Step = { readonly name: string; readonly seconds: number };

/** Reports steps as they are taken. */
export interface Progress {
  /** Runs the work and reports its end, or that it failed. */
  step<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** Writes a line. */
  say(line: string): void;
  /** The steps that are finished, in the order in which they ended. */
  readonly steps: readonly Step[];
}

/** Reports by `write`. `nowMs` is a clock in milliseconds. */
export function progress(write: (line: string) => void, nowMs: () => number = () => performance.now()): Progress {
  const steps: Step[] = [];
  return {
    steps,
    say: write,
    async step(name, work) {
      const beginMs = nowMs();
      try {
        const result = await work();
        const seconds = (nowMs() - beginMs) / 1000;
        steps.push({ name, seconds });
        write(`  ${name.padEnd(60)} ${seconds.toFixed(2).padStart(7)} s`);
        return result;
      } catch (error) {
        write(`  ${name.padEnd(60)} not done`);
        throw error;
      }
    },
  };
}

/** Reports nothing. */
export const silent = (): Progress => progress(() => {});
/** Reports on standard output. */
export const onTerminal = (): Progress => progress((line) => process.stdout.write(`${line}\n`));
