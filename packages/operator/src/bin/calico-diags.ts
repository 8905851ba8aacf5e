// calico-diags: the diagnostics of this host in one archive, without secrets.
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { shownError } from '@calico-openstack/agent/errors';
import { version } from '@calico-openstack/agent/main';
import { Command, CommanderError } from 'commander';
import { collectDiagnostics } from '../diags/collect.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const stamp = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '');

const program = new Command('calico-diags')
  .description(
    'Collects what helps to find out what is wrong on this host (rules, routes, BIRD, units, logs, options in force) into one archive, without secrets. It changes nothing.',
  )
  .option('-o, --output <file>', 'the archive, instead of calico-diags-HOST-TIME.tar.gz in this folder')
  .version(version())
  .exitOverride()
  .action(async ({ output = `calico-diags-${hostname()}-${stamp}.tar.gz` }: { readonly output?: string }) => {
    const archive = resolve(output);
    await collectDiagnostics(archive, say);
    say(`written: ${archive}`);
  });

try {
  await program.parseAsync(process.argv);
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else {
    process.stderr.write(`calico-diags: ${shownError(error)}\n`);
    process.exitCode = 1;
  }
}
