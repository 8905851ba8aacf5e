// Sorting numbers, Infinity included.

/** For sort(): ascending. Unlike a subtraction it works for two infinities. */
export const compareNumbers = (first: number, second: number): number => (first === second ? 0 : first < second ? -1 : 1);
