export const compareNumbers = (first: number, second: number): number => (first === second ? 0 : first < second ? -1 : 1);
