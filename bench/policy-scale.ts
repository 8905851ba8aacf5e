// Measures the policy calculation alone, parsing included, at three sizes of cluster.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Bench, Measurement } from './bench.ts';

/** The options with which the agent is started: a small young generation. */
const nodeOptions = ['--max-semi-space-size=8', '--expose-gc'];
const sizes = [1_000, 10_000, 100_000];
const one = fileURLToPath(new URL('./policy-scale-size.ts', import.meta.url));

/** The bench `policy-scale`. */
export const bench: Bench = {
  description: 'the policy calculation at 1 000, 10 000 and 100 000 endpoints: 2 000 policies of 10 rules, 200 local endpoints',
  options: { sizes: 'endpoints in the cluster, separated by commas' },
  async run(options, progress) {
    const results: Measurement[] = [];
    for (const size of options.get('sizes')?.split(',').map(Number) ?? sizes) {
      progress(`${size} endpoints`);
      const { stdout } = await promisify(execFile)(process.execPath, [...nodeOptions, one, String(size)]);
      results.push(...(JSON.parse(stdout) as Measurement[]));
    }
    return results;
  },
};
