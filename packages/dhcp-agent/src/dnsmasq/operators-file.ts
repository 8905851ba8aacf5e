// Makes an operator's own file of Dnsmasq options (`dnsmasq_config_file`) usable for the host's Dnsmasq.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileReason, StartError } from '@calico-openstack/agent';

/** Options that the file may not set, because it overrides the command line. Operators set them for upstream's Dnsmasqs, one for each network. This agent's Dnsmasq for DHCP serves no DNS, serves taps alone, and is found by its files. */
const ours = /^\s*(port|interface|bind-interfaces|bind-dynamic|pid-file|dhcp-leasefile)\s*(?:=|$)/;

/** The usable form of the operator's file. */
export type OperatorsFile = {
  /** Path of the file that Dnsmasq reads: the operator's own, or a copy without the lines that cannot be used. */
  readonly path: string;
  /** The options in the lines left out. */
  readonly leftOut: readonly string[];
};

/** The lines of the operator's file. @throws StartError when it cannot be read */
export const operatorsLines = (path: string): readonly string[] =>
  attempt(`cannot read ${path}`, 'correct dnsmasq_config_file', () => readFileSync(path, 'utf8')).split('\n');

/**
 * Reads the operator's file, and writes a copy where lines have to be left out.
 * @param directory where the copy is written
 * @throws StartError when the file cannot be read, or the copy not written
 */
export function operatorsFile(path: string, directory: string): OperatorsFile {
  const lines = operatorsLines(path);
  const leftOut = lines.flatMap((line) => ours.exec(line)?.[1] ?? []);
  if (leftOut.length === 0) return { path, leftOut };
  const copy = join(directory, 'operators.conf');
  attempt(`cannot write ${copy}`, 'set dhcp_confs or state_path to a directory that can be written', () => {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    writeFileSync(copy, lines.filter((line) => !ours.test(line)).join('\n'), { mode: 0o644 });
  });
  return { path: copy, leftOut };
}

function attempt<T>(what: string, remedy: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw new StartError('DNSMASQ_CONFIG_UNUSABLE', `${what}: ${fileReason(error)}; ${remedy}`, { cause: error });
  }
}
