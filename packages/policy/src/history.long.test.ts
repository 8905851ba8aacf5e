import { describe } from 'vitest';
import { historyProperties } from './testing/history-properties.ts';

describe('the output is a function of the content alone, at length', () => historyProperties({ runs: 20_000, steps: 120, timeoutMs: 3_600_000 }));
