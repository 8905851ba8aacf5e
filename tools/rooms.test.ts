// The rooms' order and the purity of some (ARCHITECTURE.md) are lint rules. These tests check that the rules refuse what they should, agree with the table in ARCHITECTURE.md, and that
// each room declares the rooms that it imports.
import { spawnSync } from 'node:child_process';
import { copyFileSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const textOf = (path: string): string => readFileSync(join(root, path), 'utf8');

/** The folders of the npm workspaces: the rooms in `packages/`, lab and bench. */
const workspaces = globSync((JSON.parse(textOf('package.json')) as { workspaces: string[] }).workspaces, { cwd: root }).toSorted();

/** A row of ARCHITECTURE.md's table of rooms. `mayImport` has the entries of the last column: `room`, or `room/module`. */
type Room = { readonly name: string; readonly folder: string; readonly mayImport: readonly string[] };

function roomsIn(architecture: string): Room[] {
  const rows = architecture.matchAll(/^\| \[([\w-]+)\]\(([\w/-]+)\/README\.md\) \|[^|]*\| ([^|]*) \|$/gm);
  return [...rows].map(([, name, folder, imports]) => ({
    name: name!,
    folder: folder!,
    mayImport: imports === 'nothing of ours' ? [] : imports!.split(', ').map((entry) => entry.replaceAll('`', '')),
  }));
}

const rooms = roomsIn(textOf('ARCHITECTURE.md'));

/** The rooms whose imports the lint restricts. */
const ordered = rooms.filter(({ folder }) => folder.startsWith('packages/'));

const isOfTests = (path: string): boolean => /\.test\.ts$|\/testing\/|^packages\/felix\/src\/verdicts\//.test(path);

const sourcesOf = (folder: string): string[] =>
  globSync(`${folder}/**/*.ts`, { cwd: root, exclude: (path) => /(^|\/)(node_modules|dist)$/.test(path) }).toSorted();

/** Lints files of one line each, in a tree of their own under this project's rules. Returns the paths of those that were refused by `rules`. */
function refused(files: readonly (readonly [path: string, line: string])[], rules: readonly string[]): string[] {
  const tree = mkdtempSync(join(tmpdir(), 'rooms-'));
  try {
    const config = JSON.parse(textOf('biome.json')) as object;
    writeFileSync(join(tree, 'biome.json'), JSON.stringify({ ...config, $schema: undefined, vcs: undefined }));
    mkdirSync(join(tree, 'tools'));
    copyFileSync(join(root, 'tools/pure.grit'), join(tree, 'tools/pure.grit'));
    for (const [path, line] of files) {
      mkdirSync(dirname(join(tree, path)), { recursive: true });
      writeFileSync(join(tree, path), `${line}\n`);
    }
    const { stdout, stderr } = spawnSync(
      join(root, 'node_modules/.bin/biome'),
      ['lint', ...rules.map((rule) => `--only=${rule}`), '--max-diagnostics=none', '.'],
      {
        cwd: tree,
        encoding: 'utf8',
      },
    );
    return files.map(([path]) => path).filter((path) => `${stdout}${stderr}`.includes(`${path}:1`));
  } finally {
    rmSync(tree, { recursive: true });
  }
}

test('imports against the rooms’ order are refused, and others are not', () => {
  const wrong = [
    ['packages/policy/src/a.ts', "export { openTable } from '@calico-openstack/kernel/nftables/table.netlink';"],
    ['packages/policy/src/b.ts', "export type { NftChain } from '@calico-openstack/kernel/nftables/objects';"],
    ['packages/policy/src/deep/c.ts', "export * from '../../../kernel/src/nftables/objects.ts';"],
    ['packages/policy/src/d.ts', "export { readFileSync } from 'node:fs';"],
    ['packages/kernel/src/a.ts', "import { resourceKey } from '@calico-openstack/datamodel';"],
    ['packages/addresses/src/a.ts', "export { resourceKey } from '@calico-openstack/datamodel';"],
    ['packages/kernel/src/nftables/b.ts', "export * from '@calico-openstack/agent';"],
    ['packages/datamodel/src/a.ts', "export { startLoop } from '@calico-openstack/agent';"],
    ['packages/render/src/a.ts', "export { openTable } from '@calico-openstack/kernel/nftables/table.netlink';"],
    ['packages/oracle/src/a.ts', "export { parseCidr } from '@calico-openstack/addresses';"],
    ['packages/oracle/src/b.ts', "export { resourceKey } from '@calico-openstack/datamodel';"],
    ['packages/etcd/src/a.ts', "export { startLoop } from '@calico-openstack/agent';"],
    ['packages/operator/src/a.ts', "export { openLinks } from '@calico-openstack/kernel/links/netlink';"],
    ['packages/dhcp-agent/src/a.ts', "export { createPolicyCalculation } from '@calico-openstack/policy';"],
  ] as const;
  const right = [
    ['packages/policy/src/e.ts', "export { resourceKey } from '@calico-openstack/datamodel';"],
    ['packages/datamodel/src/b.ts', "export { parseCidr } from '@calico-openstack/addresses';"],
    ['packages/kernel/src/c.ts', "export { parseCidr } from '@calico-openstack/addresses';"],
    ['packages/render/src/b.ts', "export type { NftChain } from '@calico-openstack/kernel/nftables/objects';"],
    ['packages/etcd/src/b.ts', "export { CodedError } from '@calico-openstack/agent/errors';"],
    ['packages/etcd/src/c.ts', "export { systemClock } from '@calico-openstack/agent/clock';"],
    ['packages/kernel/src/b.ts', "export { CodedError } from '@calico-openstack/agent/errors';"],
    ['packages/felix/src/a.ts', "export { openTable } from '@calico-openstack/kernel/nftables/table.netlink';"],
    ['packages/policy/src/f.test.ts', "export { createOracle } from '@calico-openstack/oracle';"],
  ] as const;
  expect(refused([...wrong, ...right], ['style/noRestrictedImports'])).toEqual(wrong.map(([path]) => path));
});

test('a pure room may not look at the clock, at chance or for a timer, and may compute with the times that it is given', () => {
  const impure = [
    'export const now = Date.now();',
    'export const clock = Date.now;',
    'export const today = new Date();',
    'export const text = Date();',
    'export const chance = Math.random();',
    'export const since = performance.now();',
    'export const later = (run: () => void) => setTimeout(run, 1);',
    'export const often = (run: () => void) => setInterval(run, 1);',
    'export const soon = (run: () => void) => setImmediate(run);',
    'export const home = process.env;',
    "export { randomUUID } from 'node:crypto';",
    "import { randomBytes } from 'node:crypto'; export const bytes = randomBytes(1);",
  ];
  const pure = [
    'export const birth = (text: string) => Date.parse(text);',
    'export const dated = (ms: number) => new Date(ms).toISOString();',
    'export const least = Math.min(1, 2);',
  ];
  const rooms = ['addresses', 'datamodel', 'oracle', 'policy', 'render'];
  const files = (lines: readonly string[], kind: string) =>
    rooms.flatMap((room) => lines.map((line, index) => [`packages/${room}/src/${kind}${index}.ts`, line] as const));
  const [wrong, right] = [files(impure, 'impure'), [...files(pure, 'pure'), ['packages/felix/src/clock.ts', impure[0]!] as const]];
  expect(refused([...wrong, ...right], ['style/noRestrictedImports', 'style/noRestrictedGlobals', 'plugin']).toSorted()).toEqual(
    wrong.map(([path]) => path).toSorted(),
  );
});

test('the table of rooms has each room once, beside its folder, below all rooms that it imports', () => {
  expect(rooms.map(({ folder }) => folder).toSorted()).toEqual([...workspaces, 'devstack', 'neutron', 'packaging', 'tools'].toSorted());
  expect(rooms.filter(({ name, folder }) => folder.split('/').at(-1) !== name)).toEqual([]);
  const names = rooms.map(({ name }) => name);
  const upwards = ordered.flatMap(({ name, mayImport }) =>
    mayImport.filter((entry) => !names.slice(0, names.indexOf(name)).includes(entry.split('/')[0]!)).map((entry) => `${name} → ${entry}`),
  );
  expect(upwards).toEqual([]);
});

test('the lint lets each room import what the table of rooms says, and nothing else', () => {
  const modulesOf = (room: string): string[] =>
    sourcesOf(`packages/${room}/src`)
      .filter((path) => !isOfTests(path))
      .map((path) => path.slice('packages/'.length, -'.ts'.length).replace('/src/', '/'));
  const imports = ordered.flatMap((room) =>
    ordered.flatMap(({ name }) => {
      if (name === room.name) return [];
      const isInParts = room.mayImport.some((entry) => entry.startsWith(`${name}/`));
      const specifiers = isInParts ? [name, ...modulesOf(name)] : room.mayImport.includes(name) ? [name] : [name, `${name}/any`];
      return specifiers.map((specifier) => ({ room, specifier }));
    }),
  );
  const files = imports.map(
    ({ room, specifier }, index) => [`${room.folder}/src/${index}.ts`, `export type * from '@calico-openstack/${specifier}';`] as const,
  );
  const isRefused = new Set(refused(files, ['style/noRestrictedImports']));
  const allowed = imports.filter((_, index) => !isRefused.has(files[index]![0])).map(({ room, specifier }) => `${room.name} → ${specifier}`);
  expect(allowed.toSorted()).toEqual(ordered.flatMap(({ name, mayImport }) => mayImport.map((entry) => `${name} → ${entry}`)).toSorted());
});

/** What a file imports of other rooms: the names of packages, and the paths of files that it reaches by relative paths. `folder` is that of its room. */
function importsOf(folder: string, path: string, text: string): { readonly packages: readonly string[]; readonly files: readonly string[] } {
  const specifiers = [...text.matchAll(/\b(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g)].map(([, specifier]) => specifier!);
  return {
    packages: specifiers.flatMap((specifier) => /^@calico-openstack\/[^/]+/.exec(specifier)?.[0] ?? []),
    files: specifiers
      .filter((specifier) => specifier.startsWith('.'))
      .map((specifier) => normalize(join(dirname(path), specifier)))
      .filter((target) => !target.startsWith(`${folder}/`)),
  };
}

test.each(workspaces)('%s declares the rooms that it imports, and no others', (folder) => {
  const sources = sourcesOf(folder).map((path) => ({ path, ...importsOf(folder, path, textOf(path)) }));
  const own = (JSON.parse(textOf(`${folder}/package.json`)) as { name: string }).name;
  const packagesOf = (files: typeof sources): string[] => [...new Set(files.flatMap(({ packages }) => packages))].filter((name) => name !== own).toSorted();
  const production = packagesOf(sources.filter(({ path }) => !isOfTests(path)));
  const { dependencies = {}, devDependencies = {} } = JSON.parse(textOf(`${folder}/package.json`)) as Record<string, Record<string, string>>;
  const declared = (names: Record<string, string>): string[] =>
    Object.keys(names)
      .filter((name) => name.startsWith('@calico-openstack/'))
      .toSorted();
  expect(declared(dependencies)).toEqual(production);
  expect(declared(devDependencies)).toEqual(packagesOf(sources).filter((name) => !production.includes(name)));
  // Relative paths lead out of a room only into lab, and only from tests, lab and bench.
  expect(sources.flatMap(({ path, files }) => files.filter((file) => !file.startsWith('lab/') || !(folder === 'bench' || isOfTests(path))))).toEqual([]);
});

test('imports are found however they are written', () => {
  const text = `import { a } from '@calico-openstack/etcd/types';\nexport type {\n  B,\n} from "@calico-openstack/agent";\nconst c = await import('@calico-openstack/kernel');
import './side.ts';\nexport * from '../../../../lab/wait.ts';\nimport { d } from 'node:fs';`;
  expect(importsOf('packages/felix', 'packages/felix/src/status/e.ts', text)).toEqual({
    packages: ['@calico-openstack/etcd', '@calico-openstack/agent', '@calico-openstack/kernel'],
    files: ['lab/wait.ts'],
  });
});
