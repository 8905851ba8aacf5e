// npm run bench -- list | NAME [--json] [--option VALUE …]     With --json the last line is one object.
import type { Bench, Measurement } from './bench.ts';

const benches: Readonly<Record<string, () => Promise<{ readonly bench: Bench }>>> = {
  'programming-latency': () => import('./programming-latency.ts'),
  'start-of-day': () => import('./start-of-day.ts'),
  'packet-path': () => import('./packet-path.ts'),
  'dhcp-latency': () => import('./dhcp-latency.ts'),
  heartbeats: () => import('./heartbeats.ts'),
  resync: () => import('./resync.ts'),
  'neutron-overhead': () => import('./neutron-overhead.ts'),
  load: () => import('./load/load.ts'),
  'connections-cut': () => import('./connections-cut.ts'),
  'live-migration': () => import('./live-migration.ts'),
  'etcd-storm': () => import('./etcd-storm.ts'),
  'bird-scale': () => import('./bird-scale.ts'),
  'felix-memory': () => import('./felix-memory.ts'),
  'policy-scale': () => import('./policy-scale.ts'),
};

function usage(problem: string): never {
  process.stderr.write(`${problem}\nusage: npm run bench -- list | NAME [--json] [--option VALUE …]\n`);
  process.exit(2);
}

const withVerdict = (measurement: Measurement): object => ({
  ...measurement,
  ...(measurement.target !== undefined && { ok: measurement.value <= measurement.target }),
});

async function list(): Promise<void> {
  for (const [name, load] of Object.entries(benches)) {
    const { bench } = await load();
    process.stdout.write(`${name.padEnd(22)} ${bench.description}\n`);
    for (const [option, meaning] of Object.entries(bench.options ?? {})) process.stdout.write(`    --${option.padEnd(16)} ${meaning}\n`);
  }
}

const [name, ...rest] = process.argv.slice(2);
if (name === undefined) usage('which bench?');
if (name === 'list') await list();
else {
  const load = benches[name] ?? usage(`no bench is called "${name}"`);
  const { bench } = await load();
  const options = new Map<string, string>();
  let json = false;
  for (let index = 0; index < rest.length; index += 1) {
    const option = rest[index]!;
    if (option === '--json') json = true;
    else if (option.startsWith('--') && bench.options?.[option.slice(2)] && rest[index + 1] !== undefined) {
      options.set(option.slice(2), rest[index + 1]!);
      index += 1;
    } else usage(`${name} takes no option "${option}", or it lacks a value`);
  }
  const results = await bench.run(options, (line) => process.stderr.write(`${line}\n`));
  if (json) process.stdout.write(`${JSON.stringify({ bench: name, results: results.map(withVerdict) })}\n`);
  else
    for (const { metric, at, value, target } of results)
      process.stdout.write(
        `${metric}${at === undefined ? '' : ` at ${at}`}: ${value}${target === undefined ? '' : ` (target ${target}${value <= target ? '' : ', missed'})`}\n`,
      );
}
