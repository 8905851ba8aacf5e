// Mutants that no test can kill, or that none needs to: each with its reason. A survivor that does not stand here is a test that is missing.

export type Survivor = {
  readonly file: string;
  /** The source line, without the blanks around it, so that a row holds when lines above it come and go. */
  readonly line: string;
  /** As `npm run test:mutants` prints it. */
  readonly what: string;
  readonly why: string;
};

export const allowedSurvivors: readonly Survivor[] = [];
