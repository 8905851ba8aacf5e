export { type Calculation, type Counts, createPolicyCalculation, type PolicyOptions, type ReservationSource } from './calculation.ts';
export { canonical, type Selector } from './selector/canonical.ts';
export { type LabelLookup, matches } from './selector/evaluate.ts';
export { parseExpression } from './selector/parse.ts';
