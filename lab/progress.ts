// One line for each step on the terminal, with the time it took.

export type Step = { readonly name: string; readonly seconds: number };

export interface Progress {
  /** Does the work; tells when it is done, or that it failed. */
  step<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** A line of its own. */
  say(line: string): void;
  /** What was done so far, in the order of its end. */
  readonly steps: readonly Step[];
}

export function progress(write: (line: string) => void, now: () => number = () => performance.now()): Progress {
  const steps: Step[] = [];
  return {
    steps,
    say: write,
    async step(name, work) {
      const begin = now();
      try {
        const result = await work();
        const seconds = (now() - begin) / 1000;
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

export const silent = (): Progress => progress(() => {});
export const onTerminal = (): Progress => progress((line) => process.stdout.write(`${line}\n`));
