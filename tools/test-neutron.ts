// npm run test:neutron -- 21|26|29: runs the driver's tests with another version of Neutron than Debian's.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { LabError } from '../lab/errors.ts';
import { environmentOf, neutronReleases } from '../lab/neutron-releases.ts';

const tests = ['packages/neutron-driver'];
const root = join(import.meta.dirname, '..');

function fail(reason: string, status = 1): never {
  process.stderr.write(`test:neutron: ${reason}\n`);
  process.exit(status);
}

function run(command: string, args: readonly string[], options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {}): void {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit', ...options });
  if (error || status !== 0) fail(`${[command, ...args].join(' ')}: ${error?.message ?? `ended with ${status}`}`);
}

const [version = '', ...rest] = process.argv.slice(2);
if (!neutronReleases.includes(version)) fail(`usage: npm run test:neutron -- ${neutronReleases.join('|')} [TESTS…]`, 2);
const environment = await environmentOf(version).catch((error) => {
  if (error instanceof LabError) fail(error.message);
  throw error;
});
const python = environment === undefined ? '/usr/bin/python3' : join(environment, 'bin/python');
run(python, ['-c', 'from importlib.metadata import version; print("Neutron", version("neutron"))']);
run(python, ['-m', 'unittest', 'discover', '-s', 'tests', '-t', '.'], { cwd: join(root, 'neutron') });
const env = { ...process.env, ...(environment !== undefined && { LAB_NEUTRON: environment }) };
run('npx', ['vitest', 'run', '--project', 'system', ...(rest.length > 0 ? rest : tests)], { cwd: root, env });
