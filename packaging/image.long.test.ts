// The OCI image: buildah builds it as packaging/Containerfile says, on a base that mmdebstrap makes (a registry is not needed), and its executables run in it.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { version } from './packages.ts';

const patience = 1_800_000;
const folder = mkdtempSync(join(tmpdir(), `image-${process.pid}-`));
const [debs, base] = [join(folder, 'debs'), join(folder, 'base.tar')];
const storage = ['--root', join(folder, 'storage'), '--runroot', join(folder, 'run'), '--storage-driver', 'vfs'];
const buildah = (...words: readonly string[]): string =>
  execFileSync('buildah', [...storage, ...words], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 64 * 1024 * 1024 });

beforeAll(() => {
  execFileSync(process.execPath, [join(import.meta.dirname, 'main.ts'), '--out', debs], { stdio: 'ignore' });
  execFileSync('mmdebstrap', ['--mode=root', '--variant=minbase', '--quiet', 'bookworm', base], { stdio: 'pipe' });
  const empty = buildah('from', 'scratch').trim();
  buildah('add', empty, base, '/');
  buildah('commit', empty, 'localhost/debian');
  buildah('rm', empty);
  const file = join(import.meta.dirname, 'Containerfile');
  buildah('bud', '--isolation', 'chroot', '--build-arg', 'BASE=localhost/debian', '--file', file, '--tag', 'localhost/calico-openstack', debs);
}, patience);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('every agent and tool runs in the image, and what they need is there', { timeout: patience }, () => {
  const container = buildah('from', 'localhost/calico-openstack').trim();
  const run = (...words: readonly string[]): string => buildah('run', '--isolation', 'chroot', container, '--', ...words);
  for (const name of ['calico-felix', 'calico-dhcp-agent', 'calico-bird-agent', 'calico-openstack', 'calico-diags'])
    expect(run(name, '--version')).toBe(`${version()}\n`);
  for (const program of ['nft', 'bird', 'birdc', 'dnsmasq', 'ip']) expect(run('sh', '-c', `command -v ${program}`)).toContain(program);
  expect(run('sh', '-c', 'calico-felix --check-config || true')).toContain('EtcdEndpoints'); // it fails, because there is no etcd
  expect(run('sh', '-c', 'ls -d /packages/*.deb 2>/dev/null || echo none')).toBe('none\n');
  const { OCIv1 } = JSON.parse(buildah('inspect', '--type', 'image', 'localhost/calico-openstack')) as {
    OCIv1: { config: { Cmd: readonly string[] } };
  };
  expect(OCIv1.config.Cmd).toEqual(['calico-felix']);
});
