// Mutants that no test can kill, or that none needs to: each with its reason. A survivor that does not stand here is a test that is missing.

/** A mutant that may survive. */
export type Survivor = {
  readonly file: string;
  /** The source line, without the blanks around it, so that a row holds when lines above it come and go. */
  readonly line: string;
  /** As `npm run test:mutants` prints it. */
  readonly what: string;
  readonly why: string;
};

const millisecond = 'Node waits for a millisecond where it is told to wait for none';
const nextTurn = 'a run that ends early says that it is to be run again at once, which goes on with the rest';

/** All mutants that may survive. */
export const allowedSurvivors: readonly Survivor[] = [
  { file: 'packages/agent/src/clock.ts', line: 'const timer = setTimeout(action, Math.max(0, ms));', what: '0 → 1', why: millisecond },
  {
    file: 'packages/agent/src/clock.ts',
    line: 'const timer = setTimeout(done, Math.max(0, ms)); // Node prints a warning for a negative time, which an overdue pause has',
    what: '0 → 1',
    why: millisecond,
  },
  {
    file: 'packages/agent/src/clock.ts',
    line: "signal?.addEventListener('abort', done, { once: true });",
    what: 'true → false',
    why: 'the listener takes itself away, and a signal is aborted once',
  },
  { file: 'packages/neutron-driver/src/background.ts', line: 'return true;', what: 'true → false', why: nextTurn },
];
