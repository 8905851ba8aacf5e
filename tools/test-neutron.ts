// npm run test:neutron -- 21|26|29: runs the driver's tests with another version of Neutron than Debian's. Installs it from PyPI, once, into a virtual environment in a cache outside of this project.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

type Release = {
  /** The packages that pip installs. */
  readonly packages: readonly string[];
  /** The minor versions of Python 3 that the release runs on, the best first. */
  readonly pythons: readonly number[];
};

/** A driver of the database, and uWSGI, whose command is `uwsgi`. */
const besides = ['pymysql', 'pyuwsgi'];
/** Neutron's releases by their major version; undefined for the one that Debian has. */
const releases: Readonly<Record<string, Release | undefined>> = {
  '21': undefined,
  '26': { packages: ['neutron==26.0.6', 'neutron-lib<3.19', 'sqlalchemy<2.1', ...besides], pythons: [12, 11, 10] },
  '29': { packages: ['neutron==29.0.0', ...besides], pythons: [12, 13, 11] },
};
const tests = ['packages/neutron-driver'];
const root = join(import.meta.dirname, '..');

function fail(reason: string): never {
  process.stderr.write(`test:neutron: ${reason}\n`);
  process.exit(1);
}

function run(command: string, args: readonly string[], options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {}): void {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit', ...options });
  if (error || status !== 0) fail(`${[command, ...args].join(' ')}: ${error?.message ?? `ended with ${status}`}`);
}

/** The first of these Pythons that is in the PATH or among pyenv's. */
function pythonFor({ pythons }: Release): string {
  const pyenv = join(process.env['PYENV_ROOT'] ?? join(homedir(), '.pyenv'), 'versions');
  const versions = existsSync(pyenv) ? readdirSync(pyenv) : [];
  for (const minor of pythons) {
    const among = versions.filter((name) => name.startsWith(`3.${minor}.`)).map((name) => join(pyenv, name, 'bin/python'));
    for (const python of [`python3.${minor}`, ...among]) if (spawnSync(python, ['-c', 'import venv, ensurepip']).status === 0) return python;
  }
  return fail(`there is none of Python ${pythons.map((minor) => `3.${minor}`).join(', ')} with venv, in the PATH or among pyenv's versions; install one`);
}

/** The virtual environment with this release. */
function installed(version: string, release: Release): string {
  const folder = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'calico-openstack', `neutron-${version}`);
  const complete = join(folder, 'complete'); // an environment's programs hold its path, so it cannot be made elsewhere and renamed
  if (existsSync(complete)) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  process.stdout.write(`installing Neutron ${version}\n`);
  run(pythonFor(release), ['-m', 'venv', folder]);
  run(join(folder, 'bin/python'), ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...release.packages]);
  writeFileSync(complete, '');
  return folder;
}

const [asked = '', ...rest] = process.argv.slice(2);
if (!Object.hasOwn(releases, asked)) {
  process.stderr.write(`usage: npm run test:neutron -- ${Object.keys(releases).join('|')} [TESTS…]\n`);
  process.exit(2);
}
const release = releases[asked];
const environment = release && installed(asked, release);
const python = environment === undefined ? '/usr/bin/python3' : join(environment, 'bin/python');
run(python, ['-c', 'from importlib.metadata import version; print("Neutron", version("neutron"))']);
run(python, ['-m', 'unittest', 'discover', '-s', 'tests', '-t', '.'], { cwd: join(root, 'neutron') });
const env = { ...process.env, ...(environment !== undefined && { LAB_NEUTRON: environment }) };
run('npx', ['vitest', 'run', '--project', 'system', ...(rest.length > 0 ? rest : tests)], { cwd: root, env });
