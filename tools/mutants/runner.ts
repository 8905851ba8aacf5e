// Runs the unit tests of a room against one of its files that has been changed: in a copy, so that the file itself is never touched.
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { inspect } from 'node:util';
import { createVitest, type TestSpecification, type Vitest } from 'vitest/node';
import { root } from './targets.ts';

/** The result of the unit tests with a mutant: `killed` when a test failed, `late` when the tests took far too long or never ended, `survived` when all of them passed. */
export type Verdict = 'killed' | 'late' | 'survived';

/** Runs the unit tests of one file of a room with other texts in its place. */
export interface MutantRunner {
  /** The number of test files that it runs. */
  readonly tests: number;
  /** The time that the tests take without a change. */
  readonly plainMs: number;
  /** Runs the tests with this text in the file's place. */
  judge(text: string): Promise<Verdict>;
  close(): Promise<void>;
}

/** A run is ended when it takes longer than this and longer than five times the run without a change. */
const leastLimitMs = 10_000;

/** A copy of the rooms in a temporary directory. Imports within a room lead to the copy, those of other rooms to the project itself. */
export function copyOfRooms(): { readonly directory: string; remove(): void } {
  const directory = mkdtempSync(join(tmpdir(), 'mutants-'));
  cpSync(join(root, 'packages'), join(directory, 'packages'), { recursive: true, filter: (path) => !['node_modules', 'dist'].includes(basename(path)) });
  cpSync(join(root, 'tsconfig.json'), join(directory, 'tsconfig.json'));
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));
  return { directory, remove: () => rmSync(directory, { recursive: true }) };
}

/**
 * @param copy a directory that `copyOfRooms` has made
 * @param file below the project's root, such as `packages/felix/src/felix.ts`
 * @throws Error where no unit test of the file's room imports it, or where the tests fail without a change
 */
export async function mutantRunner(copy: string, file: string): Promise<MutantRunner> {
  const path = join(copy, file);
  const room = file.split('/').slice(0, 2).join('/');
  const original = readFileSync(path, 'utf8');
  let vitest = await open();
  let specifications = await relevant(vitest, path);
  if (specifications.length === 0) throw new Error(`${file}: no unit test of ${room} imports it`);
  const startedMs = performance.now();
  const plain = await run(vitest, specifications);
  if (plain.failed) throw new Error(`${file}: its tests fail without a change:\n${plain.why}`);
  const plainMs = performance.now() - startedMs;
  const limitMs = Math.max(leastLimitMs, plainMs * 5);

  function open(): Promise<Vitest> {
    return createVitest(
      {
        root: copy,
        config: false,
        watch: false,
        bail: 1,
        related: [path],
        include: [`${room}/src/**/*.test.ts`],
        exclude: ['**/node_modules/**', '**/*.system.test.ts', '**/*.long.test.ts'],
        reporters: [{}],
        testTimeout: 60_000,
        silent: true,
        pool: 'forks',
      },
      { logLevel: 'silent' },
    );
  }

  return {
    tests: specifications.length,
    plainMs,
    async judge(text) {
      writeFileSync(path, text);
      vitest.invalidateFile(path);
      const late = Promise.withResolvers<'late'>();
      const timer = setTimeout(() => late.resolve('late'), limitMs);
      const verdict = await Promise.race([late.promise, fails(vitest, specifications).then((failed) => (failed ? 'killed' : 'survived'))]);
      clearTimeout(timer);
      if (verdict === 'late') {
        // Vitest may wait for ever for workers that were killed, so another one takes its place.
        killChildren();
        void vitest.close().catch(() => undefined);
        vitest = await open();
        specifications = await relevant(vitest, path);
      }
      return verdict;
    },
    async close() {
      writeFileSync(path, original);
      await vitest.close();
    },
  };
}

/** The test files that import the file. The one beside it comes first, because it kills most mutants. */
async function relevant(vitest: Vitest, path: string): Promise<TestSpecification[]> {
  const beside = path.replace(/\.ts$/, '.test.ts');
  const rank = ({ moduleId }: TestSpecification): number => (moduleId === beside ? 0 : dirname(moduleId) === dirname(path) ? 1 : 2);
  return (await vitest.getRelevantTestSpecifications()).sort((one, other) => rank(one) - rank(other));
}

/** Runs the first test file before all others, because it kills most mutants and each file costs a process. */
async function fails(vitest: Vitest, [first, ...others]: readonly TestSpecification[]): Promise<boolean> {
  if (first && (await run(vitest, [first])).failed) return true;
  return others.length > 0 && (await run(vitest, others)).failed;
}

async function run(vitest: Vitest, specifications: TestSpecification[]): Promise<{ readonly failed: boolean; readonly why: string }> {
  vitest.state.clearErrors();
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications(specifications);
  const failed = testModules.filter((module) => !module.ok());
  const why = [
    ...failed.flatMap((module) => [basename(module.moduleId), ...module.errors().map(({ message }) => message)]),
    ...failed.flatMap((module) => [...module.children.allTests('failed')].map((test) => `${test.fullName}: ${test.result().errors?.[0]?.message ?? ''}`)),
    ...unhandledErrors.map((error) => inspect(error)),
  ].join('\n');
  return { failed: failed.length > 0 || unhandledErrors.length > 0, why };
}

/** Kills workers, because a worker in an endless loop processes no message. Only processes that this one has started are killed. */
function killChildren(): void {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      if (parent === process.pid) process.kill(Number(name), 'SIGKILL');
    } catch {
      // It has ended meanwhile.
    }
  }
}
