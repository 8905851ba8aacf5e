// Prints the story: chapters, and in them a line for each step and each claim.
// On a terminal it uses colours and a last line that says what is under way; elsewhere it prints plain lines.
import type { Progress, Step } from '../progress.ts';

/** The result of checking a claim: whether it holds, and what was seen, in a word or two. */
export type Finding = { readonly holds: boolean; readonly seen: string };
/** A claim, and the look that checks it. */
export type Claim = { readonly says: string; readonly look: () => Promise<Finding> };
/** A finished chapter. */
export type Chapter = { readonly title: string; readonly seconds: number };

/** A claim of the story that did not hold. */
export class ClaimFailed extends Error {
  constructor(says: string, seen: string) {
    super(`It should be so: ${says.trim()}. What was seen: ${seen}`);
    this.name = 'ClaimFailed';
  }
}

/** Tells a story. */
export interface Telling extends Progress {
  /** Runs a chapter under its title and measures its time. */
  chapter<T>(title: string, work: () => Promise<T>): Promise<T>;
  /** Shows a command as somebody could type it, and what it printed. */
  command(typed: string, printed: string): void;
  /** Shows rows in columns; the first row is the heading. */
  table(rows: readonly (readonly string[])[]): void;
  /** Checks all claims side by side and shows them in order. Throws ClaimFailed for the first that does not hold. */
  check(...claims: readonly Claim[]): Promise<void>;
  readonly chapters: readonly Chapter[];
  /** How many claims have held so far. */
  readonly held: number;
}

/** Where the story is shown. */
export type Screen = {
  write(text: string): void;
  /** Whether it is a terminal, with colours and changing lines. */
  readonly lively: boolean;
  readonly columns: number;
};

/** Tells a story on a screen. `nowMs` is a clock in milliseconds. */
export function telling(screen: Screen, nowMs: () => number = () => performance.now()): Telling {
  const steps: Step[] = [];
  const chapters: Chapter[] = [];
  const underWay: string[] = [];
  let held = 0;
  const width = Math.min(screen.columns, 100);
  const style =
    (code: number) =>
    (text: string): string =>
      screen.lively ? `\x1b[${code}m${text}\x1b[0m` : text;
  const [bold, dim, red, green] = [style(1), style(2), style(31), style(32)];
  const seconds = (beginMs: number): number => (nowMs() - beginMs) / 1000;

  function line(text: string): void {
    if (screen.lively) screen.write('\r\x1b[K');
    screen.write(`${text}\n`);
    showUnderWay();
  }
  function showUnderWay(): void {
    if (!screen.lively) return;
    const latest = underWay.at(-1);
    screen.write(latest === undefined ? '\r\x1b[K' : `\r\x1b[K${dim(`  … ${latest}`.slice(0, screen.columns - 1))}`);
  }
  async function during<T>(what: string, work: () => Promise<T>): Promise<T> {
    underWay.push(what);
    showUnderWay();
    try {
      return await work();
    } finally {
      underWay.splice(underWay.lastIndexOf(what), 1);
      showUnderWay();
    }
  }
  /** Shows a step or claim on the left and its result on the right; neither is cut, so this may take two lines. */
  function outcome(mark: string, left: string, right: string): void {
    const room = width - left.length - 4;
    line(`  ${mark} ${left}${dim(room > right.length ? right.padStart(room) : `\n${right.padStart(width)}`)}`);
  }

  return {
    steps,
    chapters,
    get held() {
      return held;
    },
    say: (text) => line(text),
    async chapter(title, work) {
      line(`\n${bold(`${chapters.length + 1}. ${title}`)}`);
      const beginMs = nowMs();
      const result = await work();
      chapters.push({ title, seconds: seconds(beginMs) });
      return result;
    },
    async step(name, work) {
      const beginMs = nowMs();
      const result = await during(name, work).catch((error) => {
        outcome(red('✗'), name, 'not done');
        throw error;
      });
      const step = { name, seconds: seconds(beginMs) };
      steps.push(step);
      outcome(green('✓'), name, `${step.seconds.toFixed(1)} s`);
      return result;
    },
    command(typed, printed) {
      line(`  ${bold(`$ ${typed}`)}`);
      for (const text of printed.trimEnd().split('\n')) line(dim(`    ${text}`));
    },
    table(rows) {
      const widths = rows.reduce<number[]>((widest, row) => row.map((cell, index) => Math.max(cell.length, widest[index] ?? 0)), []);
      rows.forEach((row, index) => {
        const text = row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('   ')
          .trimEnd();
        line(`    ${index === 0 ? dim(text) : text}`);
      });
    },
    async check(...claims) {
      const looks = claims.map((claim) => during(claim.says, claim.look));
      await Promise.allSettled(looks); // all looks must have ended before an error ends the story, because the lab is removed then
      for (const [index, claim] of claims.entries()) {
        const { holds, seen } = await looks[index]!;
        outcome(holds ? green('✓') : red('✗'), claim.says, seen);
        if (!holds) throw new ClaimFailed(claim.says, seen);
        held += 1;
      }
    },
  };
}
