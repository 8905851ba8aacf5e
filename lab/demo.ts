// ./demo: brings up a small cloud on this machine and runs a story in it. Every claim of the story is checked when it is made.
import { parseArgs } from 'node:util';
import { isAlive } from '@calico-openstack/kernel/processes/processes';
import { readState } from './directory.ts';
import { remainsOf, takeDown } from './down.ts';
import { LabError } from './errors.ts';
import { exploreLines } from './explore.ts';
import { bringUp, type Lab } from './lab.ts';
import { createMachine } from './machine/machine.ts';
import { tellOperatorsStory } from './nova/telling.ts';
import { tellStory } from './story/story.ts';
import { ClaimFailed, type Finding, type Telling, telling } from './story/telling.ts';
import { troubleOf } from './trouble.ts';
import { unlessAborted } from './wait.ts';

const usage = `Usage: ./demo [--keep] [--prefix NAME] [--qemu | --nova]     as root
  --keep     leaves everything up at the end, for you to look around
  --prefix   the name of this demo, in front of its namespaces and files [demo]
  --qemu     emulates one of the VMs as a real machine with a kernel of its own; takes longer
  --nova     tells another story: an operator's, of servers that the real Nova creates, moves and deletes; takes minutes
`;

type Options = { readonly keep: boolean; readonly prefix: string; readonly qemu: boolean; readonly nova: boolean };

const columns = process.stdout.columns ?? 100;

const provedWithoutNova = `\
  · A port created in Neutron reaches its host through the driver, etcd, Felix, the DHCP agent and BIRD,
    and comes back as ACTIVE.
  · Real DHCP clients get the port's addresses; VMs reach each other over BGP routes, in IPv4 and IPv6.
  · Security groups are enforced packet by packet, and a change of them takes effect at once, on every host.
  · A port that is deleted leaves nothing behind.`;

const provedWithNova = `\
  · The real Nova, libvirt and QEMU create, stop, rebuild, resize, move, shelve and evacuate servers on Calico.
  · After each step Neutron, etcd, the kernels, Dnsmasq and BIRD agree about every port.
  · A live migration costs no connection, and of the network's time milliseconds.
  · A server that is deleted leaves nothing behind.`;

process.exitCode = await main(process.argv.slice(2));

/** Returns the exit status: 0 when all claims held, 1 when one did not or something failed, 2 for wrong options, 130 when interrupted. */
async function main(args: string[]): Promise<number> {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (!stop.signal.aborted) process.stderr.write(`\n${name}: removing everything\n`);
      stop.abort(new LabError('ENDED_EARLY', `stopped by ${name}`));
    });
  }
  // With `./demo | head`, nobody reads the story any more: end it, and remove everything.
  process.stdout.on('error', (cause) => stop.abort(new LabError('ENDED_EARLY', `the demo's output cannot be written: ${cause.message}`, { cause })));
  try {
    const lively = process.stdout.isTTY && process.env.NO_COLOR === undefined && process.env.TERM !== 'dumb';
    await show(optionsOf(args), telling({ write: (text) => process.stdout.write(text), lively, columns }), stop.signal);
    return 0;
  } catch (error) {
    if (stop.signal.aborted) return 130;
    if (!(error instanceof LabError || error instanceof ClaimFailed)) throw error;
    process.stderr.write(`\n${error.message}\n`);
    if (!(error instanceof LabError && error.code === 'BAD_OPTION')) return 1;
    process.stderr.write(usage);
    return 2;
  }
}

function optionsOf(args: string[]): Options {
  try {
    const flag = { type: 'boolean', default: false } as const;
    return parseArgs({ args, options: { keep: flag, prefix: { type: 'string', default: 'demo' }, qemu: flag, nova: flag } }).values;
  } catch (cause) {
    throw new LabError('BAD_OPTION', cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

async function show({ keep, prefix, qemu, nova }: Options, told: Telling, signal: AbortSignal): Promise<void> {
  const beginMs = performance.now();
  const left = await removeUnowned(prefix);
  if (left) told.say(`An earlier demo was killed and had left something behind; that has been removed.`);
  const lab = await told.chapter('A cloud: a router, a control machine and three compute hosts, each a network namespace', () =>
    bringUp({ prefix, nova, progress: told, signal }),
  );
  try {
    await unlessAborted(signal, nova ? tellOperatorsStory(lab, told) : tellStory(lab, told, { columns, machine: qemu ? createMachine : undefined }));
    if (!keep) await told.chapter('The end', () => clearAway(lab, told));
  } catch (error) {
    if (!signal.aborted) tellTrouble(lab);
    if (signal.aborted || !keep) await lab.down();
    else leaveUp(lab, told);
    throw error;
  }
  told.say(`\n${proved(told, nova ? provedWithNova : provedWithoutNova, (performance.now() - beginMs) / 1000)}`);
  if (keep) leaveUp(lab, told);
}

/** Removes what a killed demo of this name left behind. A demo that was left up on purpose, or is in use, stays; bringing up another then fails with LAB_EXISTS. */
async function removeUnowned(prefix: string): Promise<boolean> {
  const owner = readState(prefix)?.owner;
  return owner !== undefined && !isAlive(owner) && (await takeDown(prefix));
}

async function clearAway(lab: Lab, told: Telling): Promise<void> {
  const beginMs = performance.now();
  const look = async (): Promise<Finding> => {
    await lab.down();
    const remains = remainsOf(lab.plan.prefix);
    return {
      holds: remains.length === 0,
      seen: remains.length === 0 ? `${((performance.now() - beginMs) / 1000).toFixed(1)} s` : `left: ${remains.join(', ')}`,
    };
  };
  await told.check({ says: 'everything is removed: no namespace, process, mount or file is left', look });
}

function leaveUp(lab: Lab, told: Telling): void {
  lab.release();
  told.say(`\nIt is all still up. To look around:\n`);
  for (const line of exploreLines(lab)) told.say(line);
}

function tellTrouble(lab: Lab): void {
  const lines = troubleOf(lab);
  process.stderr.write(
    lines.length === 0 ? '\nNo service of the lab has complained of anything.\n' : `\nWhat the services complained of:\n${lines.join('\n')}\n`,
  );
}

function proved({ held, chapters }: Telling, what: string, seconds: number): string {
  const times = chapters.map((chapter, index) => `${index + 1}: ${chapter.seconds.toFixed(1)} s`).join(', ');
  return `\
Shown, in ${held} claims that packets, kernel, etcd and Neutron were asked about:
${what}
${seconds.toFixed(1)} s in all (${times})`;
}
