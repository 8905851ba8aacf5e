// The rooms' order and the purity of some (ARCHITECTURE.md) are lint rules. These are the lines that they must refuse, so that a rule that stops working is noticed.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');

/** Lints files of one line each, in a tree of their own under this project's rules. Returns the paths of those that were refused by `rules`. */
function refused(files: readonly (readonly [path: string, line: string])[], rules: readonly string[]): string[] {
  const tree = mkdtempSync(join(tmpdir(), 'rooms-'));
  try {
    const config = JSON.parse(readFileSync(join(root, 'biome.json'), 'utf8')) as object;
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
