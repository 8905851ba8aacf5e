// Which configuration files count, and in which order: `--config-file` and `--config-dir` as oslo.config takes them.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileReason } from '../errors.ts';
import { type Ini, IniError, readIni } from './ini.ts';

/** The configuration that the programs of Neutron read when the command line names none: files, and directories with further files. */
export const neutronDefaults = { defaultConfigFiles: ['/etc/neutron/neutron.conf'], defaultConfigDirectories: ['/etc/neutron/neutron.conf.d'] } as const;

/** A file in the syntax of neutron.conf that has been read. */
export type ConfFile = { readonly path: string; readonly ini: Ini };

/** Reads files in the syntax of neutron.conf. @throws IniError for a file that cannot be read or parsed */
export const readConfFiles = (paths: readonly string[]): readonly ConfFile[] => paths.map((path) => ({ path, ini: readIni(path, 'conf') }));

/** A file or directory that the command line names. */
export type GivenPath = { readonly kind: 'file' | 'directory'; readonly path: string };

/**
 * The configuration files in the order in which they are read; of an option in several files, the last counts. A directory stands for its `*.conf` files in the order of their names.
 * The default files count unless the command line names a file, and come first. The default directories count unless it names a directory, and come next; they need not exist. What the
 * command line names follows in its order.
 * @throws IniError for a directory of the command line that cannot be read
 */
export function configFilesOf(
  given: readonly GivenPath[],
  defaults: { readonly files: readonly string[]; readonly directories: readonly string[] },
): readonly string[] {
  const names = (kind: GivenPath['kind']): boolean => given.some((each) => each.kind === kind);
  return [
    ...(names('file') ? [] : defaults.files),
    ...(names('directory') ? [] : defaults.directories.filter((directory) => existsSync(directory)).flatMap(filesIn)),
    ...given.flatMap(({ kind, path }) => (kind === 'file' ? [path] : filesIn(path))),
  ];
}

/** The `*.conf` files of a directory, without hidden ones, as a shell's pattern has them. */
function filesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith('.conf') && !name.startsWith('.'))
      .sort()
      .map((name) => join(directory, name));
  } catch (error) {
    throw new IniError(`cannot read the configuration directory ${directory}: ${fileReason(error)}; name another one (--config-dir), or correct its rights`, {
      cause: error,
    });
  }
}
