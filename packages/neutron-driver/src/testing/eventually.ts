import { vi } from 'vitest';

/** Resolves when the check no longer throws. Vitest's own limit of a second is little where other tests keep the processors busy. */
export const eventually = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 20_000 });
