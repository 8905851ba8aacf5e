// npm run lab -- up | down | status | soak
import { parseArgs } from 'node:util';
import { type Part, parts } from './directory.ts';
import { takeDown } from './down.ts';
import { LabError } from './errors.ts';
import { exploreLines } from './explore.ts';
import { bringUp, type LabOptions, openLab } from './lab.ts';
import { environmentOf, neutronReleases } from './neutron-releases.ts';
import { draw } from './picture.ts';
import { type Topology, topologies } from './plan.ts';
import { onTerminal } from './progress.ts';
import { look, memoryOf } from './scene.ts';
import { soak } from './soak.ts';

const usage = `Usage: npm run lab -- up [--prefix NAME] [--hosts N] [--topology NAME] [--without PART…] [--nova] [--neutron N]   brings a lab up and leaves it
       npm run lab -- down [--prefix NAME] [--force]                    removes it
       npm run lab -- status [--prefix NAME]                            says what runs
       npm run lab -- soak [--prefix NAME] [--hosts N] [--minutes N]    a lab behind etcd's grpc-proxy for so long [60], with the proxy and etcd killed now and then
A PART is one of ${parts.join(', ')}; a topology one of ${topologies.join(', ')} [router]; N one of ${neutronReleases.join(', ')} [21, which is Debian's].
`;

process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1)); // `status | head`
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof LabError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = error.code === 'BAD_OPTION' ? 2 : 1;
}

async function main(args: string[]): Promise<number> {
  const { positionals, values } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      prefix: { type: 'string', default: 'calico' },
      hosts: { type: 'string', default: '3' },
      topology: { type: 'string', default: 'router' },
      without: { type: 'string', multiple: true, default: [] },
      nova: { type: 'boolean', default: false },
      neutron: { type: 'string' },
      force: { type: 'boolean', default: false },
      minutes: { type: 'string', default: '60' },
    },
  });
  switch (positionals[0]) {
    case 'up':
      return await up({
        prefix: values.prefix,
        hosts: Number(values.hosts),
        topology: asTopology(values.topology),
        without: values.without.map(asPart),
        nova: values.nova,
        ...(values.neutron !== undefined && { neutronEnvironment: await environmentOf(values.neutron) }),
      });
    case 'down':
      process.stdout.write(
        (await takeDown(values.prefix, { force: values.force })) ? `the lab ${values.prefix} is gone\n` : `there is no lab called ${values.prefix}\n`,
      );
      return 0;
    case 'status':
      return await status(values.prefix);
    case 'soak':
      return await soakLab(values.prefix, Number(values.hosts), Number(values.minutes));
    default:
      process.stderr.write(usage);
      return 2;
  }
}

async function up(options: LabOptions): Promise<number> {
  const { prefix } = options;
  const abort = new AbortController();
  const progress = onTerminal();
  const beginMs = performance.now();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (!abort.signal.aborted) process.stderr.write(`\n${name}: removing what exists of the lab\n`);
      abort.abort(new LabError('ENDED_EARLY', `stopped by ${name}`));
    });
  }
  const lab = await bringUp({ ...options, progress, signal: abort.signal }).catch((error) => {
    if (!abort.signal.aborted) throw error;
    return undefined;
  });
  if (lab === undefined) return 130;
  lab.release();
  progress.say(`the lab ${prefix} is up after ${((performance.now() - beginMs) / 1000).toFixed(1)} s, with ${Math.round(memoryOf(prefix) / 1024 / 1024)} MB\n`);
  for (const line of exploreLines(lab)) progress.say(line);
  return 0;
}

/** Runs the soak. Returns the exit status: 1 when a key was lost, or was gone for a while. */
async function soakLab(prefix: string, hosts: number, minutes: number): Promise<number> {
  if (!(minutes > 0)) throw new LabError('BAD_OPTION', `a lab cannot be watched for ${minutes} minutes: give a number above 0`);
  const abort = new AbortController();
  const stopped = Promise.withResolvers<never>();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      const error = new LabError('ENDED_EARLY', `stopped by ${name}`);
      abort.abort(error);
      stopped.reject(error);
    });
  }
  stopped.promise.catch(() => {});
  const progress = onTerminal();
  const lab = await bringUp({ prefix, hosts, grpcProxy: true, progress, signal: abort.signal });
  try {
    const network = await lab.openstack.create('network', { name: 'soak' });
    await lab.openstack.create('subnet', { network_id: network.id, ip_version: 4, cidr: '10.65.0.0/16' });
    const watched = soak(lab, network, { durationMs: minutes * 60_000, quietMs: 300_000, awayMs: 10_000 }, progress.say);
    const { kills, losses, troubles } = await Promise.race([watched, stopped.promise]);
    for (const [name, count] of Object.entries(losses)) progress.say(`${name} reported ${count} times that etcd was away`);
    for (const trouble of troubles) progress.say(`trouble: ${trouble}`);
    progress.say(`${minutes} minutes, ${kills} kills, ${troubles.length} troubles`);
    return troubles.length === 0 ? 0 : 1;
  } finally {
    await lab.down();
  }
}

async function status(prefix: string): Promise<number> {
  const lab = openLab(prefix);
  process.stdout.write(`${draw(await look(lab), process.stdout.columns)}\n\n`);
  process.stdout.write(`memory: ${Math.round(memoryOf(prefix) / 1024 / 1024)} MB\n\n${exploreLines(lab).join('\n')}\n`);
  return 0;
}

function asTopology(text: string): Topology {
  const topology = topologies.find((name) => name === text);
  if (topology === undefined) throw new LabError('BAD_OPTION', `--topology ${text}: there is no such topology; they are ${topologies.join(', ')}`);
  return topology;
}

function asPart(text: string): Part {
  const part = parts.find((name) => name === text);
  if (part === undefined) throw new LabError('BAD_OPTION', `--without ${text}: there is no such part; the parts are ${parts.join(', ')}`);
  return part;
}
