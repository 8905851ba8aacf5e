import { vi } from 'vitest';

/** Resolves when `check` no longer throws. Vitest's own limit of a second is too short when other tests keep the processors busy. */
export const eventually = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 20_000 });
