// npm run test:bird -- trixie/bird2: runs the BIRD agent's tests with the BIRD of another Debian. Gets it from Debian's archive, once, into a cache outside of this project. Needs root and mmdebstrap.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The tests: the golden configurations and whatever operators write, which BIRD has to accept, and a mesh and a router in packets. */
const tests = ['packages/bird-agent/src/bird', 'packages/bird-agent/src/mesh.system.test.ts', 'packages/bird-agent/src/peers.system.test.ts'];
const programs = ['bird', 'birdc'] as const;
/** Debian's folder of libraries and the dynamic loader, by Node's name of the architecture. */
const libraries: Readonly<Record<string, readonly [folder: string, loader: string]>> = {
  x64: ['usr/lib/x86_64-linux-gnu', 'usr/lib64/ld-linux-x86-64.so.2'],
  arm64: ['usr/lib/aarch64-linux-gnu', 'usr/lib/ld-linux-aarch64.so.1'],
};

function run(command: string, args: readonly string[], options: { readonly cwd?: string } = {}): void {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit', ...options });
  if (error || status !== 0) {
    process.stderr.write(`test:bird: ${[command, ...args].join(' ')}: ${error?.message ?? `ended with ${status}`}\n`);
    process.exit(1);
  }
}

/** The folder with the programs of a package of a suite, which run on this system with their own libraries. */
function fetched(suite: string, name: string): string {
  const folder = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'calico-openstack', `${name}-${suite}`);
  if (existsSync(folder)) return folder;
  const fresh = `${folder}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  // A snapshot's or a mirror's lists may be older than their own term.
  const options = ['Acquire::Check-Valid-Until "false"', 'APT::Install-Recommends "false"'].map((option) => `--aptopt=${option}`);
  run('mmdebstrap', ['--variant=extract', `--include=${name}`, ...options, suite, join(fresh, 'root')]);
  const [lib, loader] = libraries[process.arch]!.map((path) => join(folder, 'root', path)) as [string, string];
  for (const program of programs) {
    const path = join(fresh, program);
    writeFileSync(path, `#!/bin/sh\nexec ${loader} --library-path ${lib} ${join(folder, 'root/usr/sbin', program)} "$@"\n`);
    chmodSync(path, 0o755);
  }
  renameSync(fresh, folder);
  return folder;
}

const [asked = '', ...rest] = process.argv.slice(2);
const [, suite, name] = /^([a-z]+)\/(bird[23])$/.exec(asked) ?? [];
if (suite === undefined || name === undefined) {
  process.stderr.write('usage: npm run test:bird -- SUITE/bird2|bird3 [TESTS…]     (SUITE is a Debian such as trixie or sid)\n');
  process.exit(2);
}
const folder = fetched(suite, name);
run(join(folder, 'bird'), ['--version']);
// The tests find these programs where Debian has its own, in a mount namespace that ends with them.
const mounts = programs.map((program) => `mount --bind ${join(folder, program)} /usr/sbin/${program}`).join(' && ');
const command = ['npx', 'vitest', 'run', '--project', 'system', ...(rest.length > 0 ? rest : tests)];
run('unshare', ['--mount', 'sh', '-c', `${mounts} && exec "$@"`, 'sh', ...command], { cwd: join(import.meta.dirname, '..') });
