// `npm run test:mutants`: makes one small change of the code after another, and runs the unit tests on each. Prints the mutants that survive. The exit code is 1 if any survives that
// survivors.ts does not list.
//
//   npm run test:mutants -- --quick                  the breaks made by hand (breaks.ts) alone: each has to be killed
//   npm run test:mutants -- --shells                 all mutants of the shells (targets.ts); --pure: of the pure files; neither: of both, which takes hours
//   npm run test:mutants -- upkeep.ts policy/src     only of files whose path holds one of these words
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { breaks } from './breaks.ts';
import { mutantsOf, mutated } from './mutate.ts';
import { copyOfRooms, type MutantRunner, mutantRunner } from './runner.ts';
import { allowedSurvivors } from './survivors.ts';
import { filesOf, root, targets } from './targets.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const textOf = (file: string): string => readFileSync(join(root, file), 'utf8');
const lineAt = (text: string, line: number): string => text.split('\n')[line - 1]!.trim();

/** Makes the breaks, file by file. Returns how many no test noticed. */
async function playBreaks(copy: string, isWanted: (file: string) => boolean): Promise<number> {
  let missed = 0;
  const files = [...new Set(breaks.map(({ file }) => file))].filter(isWanted);
  for (const file of files) {
    const text = textOf(file);
    const runner = await mutantRunner(copy, file);
    try {
      for (const { what, from, to } of breaks.filter((each) => each.file === file)) {
        const verdict = await runner.judge(text.replace(from, () => to));
        if (verdict === 'survived') missed += 1;
        say(`${verdict === 'survived' ? 'NOT NOTICED' : verdict} ${file}: ${what}`);
      }
    } finally {
      await runner.close();
    }
  }
  return missed;
}

type Tally = { mutants: number; survived: number; allowed: number };

async function playMutants(copy: string, file: string, tally: Tally): Promise<void> {
  const text = textOf(file);
  const mutants = mutantsOf(text);
  let runner: MutantRunner;
  try {
    runner = await mutantRunner(copy, file);
  } catch (error) {
    say(`SURVIVED ${(error as Error).message}`);
    tally.survived += 1;
    return;
  }
  const startedMs = performance.now();
  let here = 0;
  try {
    say(`${file}: ${mutants.length} mutants, ${runner.tests} test files, ${Math.round(runner.plainMs)} ms each time`);
    for (const [index, mutant] of mutants.entries()) {
      const verdict = await runner.judge(mutated(text, mutant));
      tally.mutants += 1;
      if (process.stdout.isTTY) process.stdout.write(`\r${index + 1} of ${mutants.length}\r`);
      else if ((index + 1) % 25 === 0) say(`${file}: ${index + 1} of ${mutants.length}`);
      if (verdict !== 'survived') continue;
      const line = lineAt(text, mutant.line);
      const allowed = allowedSurvivors.find((each) => each.file === file && each.line === line && each.what === mutant.what);
      if (allowed) tally.allowed += 1;
      else {
        tally.survived += 1;
        here += 1;
        say(`SURVIVED ${file}:${mutant.line} ${mutant.what}`);
      }
    }
  } finally {
    await runner.close();
  }
  say(`${file}: ${here} survived, ${Math.round((performance.now() - startedMs) / 1000)} s`);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean' }, shells: { type: 'boolean' }, pure: { type: 'boolean' } },
});
const isWanted = (file: string): boolean => positionals.length === 0 || positionals.some((word) => file.includes(word));

async function play(copy: string): Promise<boolean> {
  if (values.quick) {
    const missed = await playBreaks(copy, isWanted);
    say(missed === 0 ? 'every break was noticed' : `${missed} breaks were not noticed`);
    return missed === 0;
  }
  const isBoth = !values.shells && !values.pure;
  const files = targets
    .filter(({ kind }) => isBoth || (kind === 'shell' ? values.shells : values.pure))
    .flatMap(filesOf)
    .filter(isWanted);
  const tally: Tally = { mutants: 0, survived: 0, allowed: 0 };
  for (const file of files) await playMutants(copy, file, tally);
  say(`${files.length} files, ${tally.mutants} mutants: ${tally.survived} survived without a reason, ${tally.allowed} with one (tools/mutants/survivors.ts)`);
  return tally.survived === 0;
}

const copy = copyOfRooms();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
process.once('exit', () => copy.remove());
process.exit((await play(copy.directory)) ? 0 : 1);
