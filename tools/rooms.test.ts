// Checks that the lint refuses imports against the order of the rooms (ARCHITECTURE.md).
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');

/** Lints files with one import each, in a temporary tree under this project's lint rules. Returns the files in which the import was refused. */
function refused(files: readonly (readonly [path: string, line: string])[]): string[] {
  const tree = mkdtempSync(join(tmpdir(), 'rooms-'));
  try {
    const config = JSON.parse(readFileSync(join(root, 'biome.json'), 'utf8')) as object;
    writeFileSync(join(tree, 'biome.json'), JSON.stringify({ ...config, $schema: undefined, vcs: undefined }));
    for (const [path, line] of files) {
      mkdirSync(dirname(join(tree, path)), { recursive: true });
      writeFileSync(join(tree, path), `${line}\n`);
    }
    const { stdout, stderr } = spawnSync(join(root, 'node_modules/.bin/biome'), ['lint', '--only=style/noRestrictedImports', '--max-diagnostics=none', '.'], {
      cwd: tree,
      encoding: 'utf8',
    });
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
    ['packages/kernel/src/a.ts', "import { parseCidr } from '@calico-openstack/datamodel';"],
    ['packages/kernel/src/nftables/b.ts', "export * from '@calico-openstack/agent';"],
    ['packages/datamodel/src/a.ts', "export { startLoop } from '@calico-openstack/agent';"],
    ['packages/render/src/a.ts', "export { openTable } from '@calico-openstack/kernel/nftables/table.netlink';"],
    ['packages/oracle/src/a.ts', "export { parseCidr } from '@calico-openstack/datamodel';"],
    ['packages/etcd/src/a.ts', "export { startLoop } from '@calico-openstack/agent';"],
    ['packages/dhcp-agent/src/a.ts', "export { createPolicyCalculation } from '@calico-openstack/policy';"],
  ] as const;
  const right = [
    ['packages/policy/src/e.ts', "export { parseCidr } from '@calico-openstack/datamodel';"],
    ['packages/render/src/b.ts', "export type { NftChain } from '@calico-openstack/kernel/nftables/objects';"],
    ['packages/etcd/src/b.ts', "export { CodedError } from '@calico-openstack/agent/errors';"],
    ['packages/kernel/src/b.ts', "export { CodedError } from '@calico-openstack/agent/errors';"],
    ['packages/felix/src/a.ts', "export { openTable } from '@calico-openstack/kernel/nftables/table.netlink';"],
    ['packages/policy/src/f.test.ts', "export { createOracle } from '@calico-openstack/oracle';"],
  ] as const;
  expect(refused([...wrong, ...right])).toEqual(wrong.map(([path]) => path));
});
