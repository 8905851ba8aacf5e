// The releases of Neutron that a lab can run in place of Debian's. Each is installed from PyPI, once, into a virtual environment in a cache outside of this project.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { LabError } from './errors.ts';

type Release = {
  /** The packages that pip installs, or pip's options. */
  readonly packages: readonly string[];
  /** The minor versions of Python 3 that the release runs on, the best first. Debian 12 has 3.11. */
  readonly pythons: readonly number[];
};

/** A driver of the database, and uWSGI, whose command is `uwsgi`. */
const besides = ['pymysql', 'pyuwsgi'];
const releases: Readonly<Record<string, Release | undefined>> = {
  '21': undefined,
  '26': { packages: ['neutron==26.0.6', 'neutron-lib<3.19', 'sqlalchemy<2.1', ...besides], pythons: [12, 11, 10] },
  // It is part of CI, so all versions are given: those of the packages that it needs, too.
  '29': { packages: ['--constraint', join(import.meta.dirname, 'neutron-29.txt'), 'neutron', ...besides], pythons: [12, 13, 11] },
};

/** Neutron's releases by their major version, the newest last. 21 is Debian's. */
export const neutronReleases: readonly string[] = Object.keys(releases);

/** How long an installation may take. It is half a minute's work of an idle processor. */
const installationSeconds = 600;
/** What the installation ends with when `timeout` stopped it, and when PyPI does not answer (EX_TEMPFAIL of sysexits.h). */
const [tooLong, registryAway] = [124, 75];

/**
 * The folder of the virtual environment with this release, which is installed first if it has to be; undefined for the one that Debian has.
 * BAD_OPTION when there is no such release, and REGISTRY_AWAY when PyPI does not answer, or too slowly.
 */
export async function environmentOf(version: string): Promise<string | undefined> {
  if (!Object.hasOwn(releases, version))
    throw new LabError('BAD_OPTION', `there is no Neutron ${version} to choose here; the releases are ${neutronReleases.join(', ')}`);
  const release = releases[version];
  return release && (await installed(version, release));
}

/** Makes the environment $1 with the Python $2 and the packages that follow. An environment's programs hold its path, so it cannot be made elsewhere and renamed. */
const script = `set -e
[ ! -e "$1/complete" ] || exit 0
folder=$1
rm -rf "$folder"
"$2" -m venv "$folder"
shift 2
pip() { "$folder/bin/python" -m pip --disable-pip-version-check "$@"; }
if ! pip install --quiet "$@"; then
  pip index versions pymysql >/dev/null || exit ${registryAway}
  exit 1
fi
touch "$folder/complete"`;

async function installed(version: string, release: Release): Promise<string> {
  const folder = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'calico-openstack', `neutron-${version}`);
  if (existsSync(join(folder, 'complete'))) return folder;
  const python = pythonFor(release);
  process.stderr.write(`installing Neutron ${version} into ${folder}\n`);
  mkdirSync(dirname(folder), { recursive: true });
  // Two labs may need it at the same time. The kernel releases the lock of a process that was killed.
  const install = ['timeout', String(installationSeconds), 'bash', '-c', script, 'bash', folder, python, ...release.packages];
  const status = await ended('flock', [`${folder}.lock`, ...install]);
  if (status === tooLong || status === registryAway)
    throw new LabError('REGISTRY_AWAY', `Neutron ${version} cannot be installed, because PyPI does not answer or is too slow; try again later`);
  if (status !== 0) throw new LabError('COMMAND_FAILED', `Neutron ${version} cannot be installed into ${folder}; pip says why above`);
  return folder;
}

/** The first of these Pythons that is in the PATH or among pyenv's. */
function pythonFor({ pythons }: Release): string {
  const pyenv = join(process.env['PYENV_ROOT'] ?? join(homedir(), '.pyenv'), 'versions');
  const versions = existsSync(pyenv) ? readdirSync(pyenv) : [];
  for (const minor of pythons) {
    const among = versions.filter((name) => name.startsWith(`3.${minor}.`)).map((name) => join(pyenv, name, 'bin/python'));
    for (const python of [`python3.${minor}`, ...among]) if (spawnSync(python, ['-c', 'import venv, ensurepip']).status === 0) return python;
  }
  const wanted = pythons.map((minor) => `3.${minor}`).join(', ');
  throw new LabError(
    'PROGRAM_MISSING',
    `there is none of Python ${wanted} with venv, in the PATH or among pyenv's versions; on Debian 12: apt-get install python3-venv`,
  );
}

/** Runs a command whose output goes to standard error. Resolves to its exit status; null when a signal ended it. */
function ended(command: string, args: readonly string[]): Promise<number | null> {
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  const child = spawn(command, args, { stdio: ['ignore', 2, 2] });
  child.once('error', reject);
  child.once('close', resolve);
  return promise;
}
