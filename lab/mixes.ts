// npm run mixes: runs the demo's story with other projects' parts in place of this project's, in every combination of the given parts.
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Foreign } from './directory.ts';
import { LabError } from './errors.ts';
import { bringUp } from './lab.ts';
import { tellStory } from './story/story.ts';
import { ClaimFailed, telling } from './story/telling.ts';
import { troubleOf } from './trouble.ts';
import { unlessAborted } from './wait.ts';

const usage = `Usage: npm run mixes -- [--felix CMD] [--dhcp-agent CMD] [--driver DIR] [--prefix NAME]     as root
Tells the demo's story in every mix of the project's own parts with those that are given.
  --felix        a Felix, as a shell reads it; it is started with -c FILE, FILE being a felix.cfg
  --dhcp-agent   a DHCP agent; it is started with --config-file FILE, FILE being a neutron.conf
  --driver       a folder of Python packages in which Neutron finds core_plugin = calico
  --prefix       tells these labs' namespaces and files from others' [mix]
`;

const names: Readonly<Record<keyof Foreign, string>> = { felix: 'Felix', dhcpAgent: 'DHCP agent', driver: 'driver' };
const parts = Object.keys(names) as readonly (keyof Foreign)[];

process.exitCode = await main(process.argv.slice(2));

/** The exit code: 0 when the story ran to its end with every mix, 1 when it did not with one, 2 for bad usage, 130 when stopped. */
async function main(args: string[]): Promise<number> {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => stop.abort(new LabError('ENDED_EARLY', `stopped by ${name}`)));
  try {
    const { given, prefix } = optionsOf(args);
    const results: string[] = [];
    let failed = 0;
    for (const foreign of mixesOf(given)) {
      const failure = await tell(prefix, foreign, stop.signal);
      if (stop.signal.aborted) return 130;
      if (failure !== undefined) failed += 1;
      results.push(`${nameOf(foreign)}: ${failure ?? 'the story holds'}`);
    }
    process.stdout.write(`\n${results.join('\n')}\n`);
    return failed === 0 ? 0 : 1;
  } catch (error) {
    if (!(error instanceof LabError) || error.code !== 'BAD_OPTION') throw error;
    process.stderr.write(`${error.message}\n${usage}`);
    return 2;
  }
}

function optionsOf(args: string[]): { readonly given: Foreign; readonly prefix: string } {
  const text = { type: 'string' } as const;
  let values: { felix?: string; 'dhcp-agent'?: string; driver?: string; prefix: string };
  try {
    values = parseArgs({ args, options: { felix: text, 'dhcp-agent': text, driver: text, prefix: { ...text, default: 'mix' } } }).values;
  } catch (cause) {
    throw new LabError('BAD_OPTION', cause instanceof Error ? cause.message : String(cause), { cause });
  }
  const { felix, 'dhcp-agent': dhcpAgent, driver, prefix } = values;
  if ([felix, dhcpAgent, driver].every((part) => part === undefined)) throw new LabError('BAD_OPTION', 'no part is given, so there is nothing to mix');
  if (driver !== undefined && !existsSync(driver)) throw new LabError('BAD_OPTION', `--driver ${driver}: there is no such folder`);
  return { given: { felix, dhcpAgent, driver }, prefix };
}

/** All combinations of the given parts. */
function mixesOf(given: Foreign): readonly Foreign[] {
  let mixes: readonly Foreign[] = [{}];
  for (const part of parts) if (given[part] !== undefined) mixes = mixes.flatMap((mix) => [mix, { ...mix, [part]: given[part] }]);
  return mixes.slice(1);
}

function nameOf(foreign: Foreign): string {
  return parts.map((part) => `${names[part]} ${foreign[part] === undefined ? 'ours' : 'theirs'}`).join(', ');
}

/** The error that kept the story from its end; undefined when there was none. */
async function tell(prefix: string, foreign: Foreign, signal: AbortSignal): Promise<string | undefined> {
  const columns = process.stdout.columns ?? 100;
  const told = telling({ write: (text) => process.stdout.write(text), lively: false, columns });
  try {
    const lab = await told.chapter(`${nameOf(foreign)}: a cloud`, () => bringUp({ prefix, foreign, progress: told, signal }));
    try {
      await unlessAborted(signal, tellStory(lab, told, { columns }));
      return undefined;
    } catch (error) {
      for (const line of troubleOf(lab)) process.stdout.write(`${line}\n`);
      throw error;
    } finally {
      await lab.down();
    }
  } catch (error) {
    if (!(error instanceof LabError || error instanceof ClaimFailed)) throw error;
    return error.message;
  }
}
