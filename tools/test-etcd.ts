// npm run test:etcd -- 3.5|3.6: runs the tests that depend on etcd with another version than Debian's. Builds etcd and etcdctl from their Go modules, once, into a cache outside of this project.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const versions: Readonly<Record<string, string>> = { '3.5': 'v3.5.35', '3.6': 'v3.6.16' };
/** The tests: those of the client's contract, users and certificates, those of the roles, and one of a whole agent. */
const tests = ['packages/etcd', 'packages/operator', 'packages/dhcp-agent'];

/** The programs that a version consists of, by the packages that make them. */
const programs: Readonly<Record<string, { readonly module: string; readonly source: string }>> = {
  etcd: {
    module: 'go.etcd.io/etcd/server/v3',
    source: 'package main\n\nimport (\n\t"os"\n\n\t"go.etcd.io/etcd/server/v3/etcdmain"\n)\n\nfunc main() { etcdmain.Main(os.Args) }\n',
  },
  etcdctl: {
    module: 'go.etcd.io/etcd/etcdctl/v3',
    source: 'package main\n\nimport "go.etcd.io/etcd/etcdctl/v3/ctlv3"\n\nfunc main() { ctlv3.MustStart() }\n',
  },
};

function run(command: string, args: readonly string[], options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {}): void {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit', ...options });
  if (error || status !== 0) {
    process.stderr.write(`test:etcd: ${[command, ...args].join(' ')}: ${error?.message ?? `ended with ${status}`}\n`);
    process.exit(1);
  }
}

/** The folder with this version's programs. */
function built(version: string): string {
  const folder = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'calico-openstack', `etcd-${version}`);
  for (const [name, { module, source }] of Object.entries(programs)) {
    if (existsSync(join(folder, name))) continue;
    process.stdout.write(`building ${name} ${version}\n`);
    // A module of its own that imports theirs: `go install` refuses theirs as it is, because of the replacements in its go.mod.
    const module_ = join(folder, `${name}.build`);
    rmSync(module_, { recursive: true, force: true });
    mkdirSync(module_, { recursive: true });
    writeFileSync(join(module_, 'main.go'), source);
    run('go', ['mod', 'init', `example.invalid/${name}`], { cwd: module_ });
    run('go', ['get', `${module}@${version}`], { cwd: module_ });
    run('go', ['build', '-mod=mod', '-trimpath', '-o', `${name}.new`, '.'], { cwd: module_ });
    renameSync(join(module_, `${name}.new`), join(folder, name));
    rmSync(module_, { recursive: true });
  }
  return folder;
}

const [asked = '', ...rest] = process.argv.slice(2);
const version = versions[asked];
if (version === undefined) {
  process.stderr.write(`usage: npm run test:etcd -- ${Object.keys(versions).join('|')} [TESTS…]\n`);
  process.exit(2);
}
const env = { ...process.env, PATH: `${built(version)}:${process.env['PATH']}` };
run('etcd', ['--version'], { env });
run('npx', ['vitest', 'run', '--project', 'system', ...(rest.length > 0 ? rest : tests)], { env, cwd: join(import.meta.dirname, '..') });
