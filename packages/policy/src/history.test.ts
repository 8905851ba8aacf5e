import { describe } from 'vitest';
import { historyProperties } from './testing/history-properties.ts';

describe('the output is a function of the content alone', () => historyProperties({ runs: 300, steps: 40, timeoutMs: 60_000 }));
