// Makes the Debian packages: npm run package -- [--arch amd64|arm64] [--out DIRECTORY]
import { execFileSync } from 'node:child_process';
import { copyFileSync, globSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { buildDeb } from './deb.ts';
import { debianVersion, packagesFor, type Runtime, root } from './packages.ts';

const native = process.arch === 'arm64' ? 'arm64' : 'amd64';

/** Installs the lock file's packages for another kind of machine; npm checks them against their hashes. Returns `node_modules`. */
function modulesFor(architecture: Runtime['architecture'], folder: string): string {
  if (architecture === native) return join(root, 'node_modules');
  for (const file of ['package.json', 'package-lock.json', ...globSync(['packages/*/package.json', 'lab/package.json', 'bench/package.json'], { cwd: root })]) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    copyFileSync(join(root, file), join(folder, file));
  }
  const cpu = architecture === 'amd64' ? 'x64' : 'arm64';
  execFileSync('npm', ['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund', `--cpu=${cpu}`, '--os=linux', '--libc=glibc'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return join(folder, 'node_modules');
}

/** The time of the last commit: files of one version have one time, whoever builds it. */
const epochSeconds = (): number =>
  Number(process.env['SOURCE_DATE_EPOCH'] ?? execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: root, encoding: 'utf8' }));

const { values } = parseArgs({ options: { arch: { type: 'string', default: native }, out: { type: 'string', default: join(root, 'dist') } } });
const { arch } = values;
if (arch !== 'amd64' && arch !== 'arm64') {
  process.stderr.write(`npm run package: --arch ${arch} is neither amd64 nor arm64\n`);
  process.exit(2);
}
const out = resolve(values.out);
const folder = mkdtempSync(join(tmpdir(), 'calico-package-'));
try {
  mkdirSync(out, { recursive: true });
  process.stdout.write('building the executables\n');
  execFileSync(process.execPath, [join(root, 'tools/build.ts')], { stdio: ['ignore', 'ignore', 'inherit'] });
  const site = join(folder, 'site');
  execFileSync('python3', [join(root, 'neutron/make_site.py'), site], { stdio: ['ignore', 'ignore', 'inherit'] });
  const runtime: Runtime = { architecture: arch, modules: modulesFor(arch, join(folder, 'npm')), site };
  const build = { version: debianVersion(), out, epochSeconds: epochSeconds() };
  for (const one of packagesFor(runtime)) process.stdout.write(`${buildDeb(one, build)}\n`);
} finally {
  rmSync(folder, { recursive: true });
}
