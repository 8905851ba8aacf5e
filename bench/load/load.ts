// Measures how calico-felix bears masses. Each part has a host and an agent of its own, and ends with the longest turn of the agent's event loop, which is the agent's own metric.
import { measuredAgent } from '../agent.ts';
import type { Bench, Measurement } from '../bench.ts';
import { absence } from './absence.ts';
import { burst } from './burst.ts';
import { connections } from './connections.ts';
import { LoadedHost } from './loaded-host.ts';
import { policies } from './policies.ts';
import { sets } from './sets.ts';
import { taps } from './taps.ts';

/** Loads a host, and resolves with what it has measured. */
export type Part = (host: LoadedHost, size: number) => Promise<readonly Measurement[]>;

/** No turn of the loop may be longer. */
const longestTurnMs = 250;

const parts: Readonly<Record<string, { readonly size: number; readonly meaning: string; readonly run: Part }>> = {
  burst: { size: 10_000, meaning: 'changes written at once', run: burst },
  sets: { size: 100_000, meaning: 'addresses in network sets that a rule selects', run: sets },
  policies: { size: 10_000, meaning: 'policies, a hundred for each of the host’s endpoints', run: policies },
  taps: { size: 2_000, meaning: 'taps that are created again within a minute', run: taps },
  connections: { size: 500_000, meaning: 'connections that the host tracks', run: connections },
  absence: { size: 10_000, meaning: 'changes while etcd was away, which come as one difference', run: absence },
};

/** The bench `load`. */
export const bench: Bench = {
  description: 'calico-felix under masses: bursts, large sets, many policies, taps, connections; a lone change meanwhile, and the longest turn of its loop',
  options: {
    parts: `which parts, separated by commas [${Object.keys(parts).join(',')}]`,
    ...Object.fromEntries(Object.entries(parts).map(([name, { size, meaning }]) => [name, `${meaning} [${size}]`])),
  },
  async run(options, progress) {
    const { command } = measuredAgent(options, 'felix');
    const results: Measurement[] = [];
    for (const name of (options.get('parts') ?? Object.keys(parts).join(',')).split(',')) {
      const part = parts[name];
      if (!part) throw new Error(`there is no part "${name}"`);
      const size = Number(options.get(name) ?? part.size);
      progress(`${name}: ${size} ${part.meaning}`);
      const found = await measure(command, part.run, size);
      for (const { metric, value } of found) progress(`  ${metric}: ${value}`);
      results.push(...found.map((each) => ({ at: size, ...each, metric: `${name}: ${each.metric}` })));
    }
    return results;
  },
};

async function measure(agent: string, run: Part, size: number): Promise<Measurement[]> {
  const host = await LoadedHost.open(agent);
  try {
    const found = await run(host, size);
    return [...found, { metric: 'longest turn of the loop, ms', value: await host.longestTurnMs(), target: longestTurnMs }];
  } finally {
    await host.close();
  }
}
