// The agent that a bench measures.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchOptions } from './bench.ts';

/**
 * The command of the agent and what the report calls it: those that `--agent` and `--name` give, or this project's own.
 * @param room the room of the own agent, below packages/
 * @throws Error when the own agent is to be measured and is not built
 */
export function measuredAgent(options: BenchOptions, room: 'felix' | 'dhcp-agent'): { readonly command: string; readonly name: string } {
  const own = `calico-${room}`;
  if (!options.has('agent') && !existsSync(join(import.meta.dirname, '../packages', room, 'dist'))) throw new Error(`${own} is not built: npm run build`);
  return { command: options.get('agent') ?? join(import.meta.dirname, '../node_modules/.bin', own), name: options.get('name') ?? own };
}
