// The packages on a machine that has what they depend on: this one, under an overlay that keeps everything that they do to it away from it.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { version } from './packages.ts';

const folder = mkdtempSync(join(tmpdir(), `packages-${process.pid}-`));
const [first, second] = [join(folder, 'first'), join(folder, 'second')];
const names = [
  'calico-bird-agent',
  'calico-dhcp-agent',
  'calico-felix',
  'calico-neutron-driver',
  'calico-openstack-node',
  'calico-openstack-tools',
  'python3-calico-openstack',
];
const services = ['calico-felix', 'calico-dhcp-agent', 'calico-bird-agent', 'calico-neutron-driver'];

beforeAll(() => {
  for (const out of [first, second]) execFileSync(process.execPath, [join(import.meta.dirname, 'main.ts'), '--out', out], { stdio: 'ignore' });
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs a script on a copy of this machine, with the packages in /debs. Returns what it prints. */
function onACopy(script: string): string {
  const place = mkdtempSync(join(folder, 'copy-'));
  writeFileSync(
    join(place, 'enter'),
    `set -e
mount -t tmpfs none ${place}/mnt
mkdir ${place}/mnt/up ${place}/mnt/work ${place}/mnt/root
cd ${place}/mnt
mount -t overlay overlay -o lowerdir=/,upperdir=up,workdir=work root
mount -t proc proc root/proc
mount --bind /dev root/dev
mkdir root/debs
mount --bind ${first} root/debs
exec chroot root env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 sh -euc "$1"
`,
  );
  mkdirSync(join(place, 'mnt'));
  return execFileSync('unshare', ['--mount', '--pid', '--fork', '--kill-child', '--propagation', 'private', 'bash', join(place, 'enter'), script], {
    encoding: 'utf8',
  });
}

const hashes = (out: string): readonly (readonly [string, string])[] =>
  readdirSync(out)
    .sort()
    .map((name) => [
      name,
      createHash('sha256')
        .update(readFileSync(join(out, name)))
        .digest('hex'),
    ]);

test('a second build makes the same bytes', () => {
  expect(hashes(first).map(([name]) => name.replace(/_.*/, ''))).toEqual(names);
  expect(hashes(second)).toEqual(hashes(first));
});

test('they install in one step, run, pass systemd’s check, and leave nothing when they are purged', () => {
  const printed = onACopy(`
    dpkg -i /debs/*.deb >/dev/null 2>&1
    for each in calico-felix calico-dhcp-agent calico-bird-agent calico-neutron-driver calico-resync calico-openstack; do echo "$each $($each --version)"; done
    /usr/bin/python3 -c "import calico_openstack.driver, importlib.metadata as m; print('python', m.version('calico-openstack'))"
    systemd-analyze verify ${services.map((name) => `${name}.service`).join(' ')} && echo verified
    for each in ${services.join(' ')}; do ls /etc/systemd/system/multi-user.target.wants/$each.service; done
    man calico-felix 2>/dev/null | grep -c InterfacePrefix
    du -sk --apparent-size /usr/lib/calico-openstack | cut -f1
    dpkg -P ${names.join(' ')} >/dev/null 2>&1
    echo left: $(find /etc /usr /lib/systemd /var/lib/systemd -xdev -name '*calico*' -newer /debs)
  `).split('\n');
  const executables = ['calico-felix', 'calico-dhcp-agent', 'calico-bird-agent', 'calico-neutron-driver', 'calico-resync', 'calico-openstack'];
  expect(printed.slice(0, 8)).toEqual([...executables.map((name) => `${name} ${version()}`), `python ${version()}`, 'verified']);
  expect(printed.slice(8, 12)).toEqual(services.map((name) => `/etc/systemd/system/multi-user.target.wants/${name}.service`));
  expect(Number(printed[12])).toBeGreaterThan(0);
  expect(Number(printed[13])).toBeLessThan(150_000); // KB, all of it: a compute host has less
  expect(printed[14]).toBe('left:');
});

test('the examples of configurations hold every option, and none is in force', () => {
  const printed = onACopy(`
    dpkg -i /debs/*.deb >/dev/null 2>&1
    cp /usr/share/doc/calico-felix/examples/felix.cfg /etc/calico.cfg
    grep -vc '^#\\|^$\\|^\\[' /etc/calico.cfg || true
    calico-felix -c /etc/calico.cfg --check-config 2>&1 | grep -ci 'calico.cfg' || true
  `);
  expect(printed).toBe('0\n0\n');
});
