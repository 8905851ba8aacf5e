// The packages on the other systems that they are for: on Debian 13 and Ubuntu 24.04 the machine is booted, on arm64 an emulator runs its Node.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { version } from './packages.ts';
import { areActive, openCleanMachine } from './testing/clean-machine.ts';
import type { System } from './testing/clean-root.ts';
import { hostFiles } from './testing/neutron.ts';

const patience = { timeout: 1_800_000 };
const folder = mkdtempSync(join(tmpdir(), `systems-${process.pid}-`));
const services = ['calico-felix', 'calico-dhcp-agent', 'calico-bird-agent', 'calico-neutron-driver'];
const executables = [...services, 'calico-resync', 'calico-openstack', 'calico-diags'];

const build = (out: string, architecture: string): void => {
  execFileSync(process.execPath, [join(import.meta.dirname, 'main.ts'), '--out', out, '--arch', architecture], { stdio: 'ignore' });
};

const debs = join(folder, 'amd64');
beforeAll(() => build(debs, 'amd64'), patience.timeout);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A mirror of Ubuntu that this host reaches. There is no other way to Ubuntu's packages, so its test is skipped without one. */
const ubuntu = process.env['UBUNTU_MIRROR'];
const systems: readonly System[] = [{ suite: 'trixie' }, ...(ubuntu === undefined ? [] : [{ suite: 'noble', mirror: ubuntu } as const])];

describe.each(systems)('$suite', (system) => {
  test('the packages install in one step, start in their sandboxes, start again after kill -9, and are removed and purged', patience, async () => {
    const machine = await openCleanMachine({ '/debs': debs }, { ...hostFiles, '/etc/calico/felix.cfg': '[global]\n' }, system);
    try {
      expect(await machine.run('. /etc/os-release; echo $VERSION_CODENAME')).toBe(`${system.suite}\n`);
      await machine.run('apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io /debs/*.deb');
      const active = services.map(() => 'active\n').join('');
      expect(await machine.until(areActive(services))).toBe(active);
      expect(await machine.run(`for each in ${executables.join(' ')}; do $each --version; done`)).toBe(executables.map(() => `${version()}\n`).join(''));
      expect(await machine.run('calico-felix --check-config 2>&1 || true')).toContain('EtcdEndpoints');
      await machine.until('nft list table inet calico-felix');
      await machine.until('birdc show protocols | grep calico_kernel4');
      const pid = await machine.run('systemctl show --property MainPID --value calico-felix');
      await machine.run('systemctl kill --kill-whom=main --signal=KILL calico-felix');
      await machine.until(`systemctl is-active calico-felix; test "$(systemctl show --property MainPID --value calico-felix)" != ${pid.trim()}`);
      expect(await machine.run('/usr/bin/python3 -c \'import calico_openstack.driver; print("loaded")\' 2>/dev/null')).toBe('loaded\n');
      const names = readdirSync(debs)
        .map((file) => file.replace(/_.*/, ''))
        .join(' ');
      await machine.run(`dpkg --purge ${names}`);
      expect(await machine.run("find /etc /usr /lib/systemd /var/lib/systemd -xdev -name '*calico*' | sort")).toBe('/etc/calico\n');
    } finally {
      await machine.close();
    }
  });
});

describe('arm64', () => {
  test('the packages are built for it, apt finds all that they need, and each executable runs on their Node', patience, () => {
    const [out, place] = [join(folder, 'arm64'), join(folder, 'arm64-root')];
    build(out, 'arm64');
    const [node] = readdirSync(out).filter((file) => file.startsWith('calico-openstack-node'));
    expect(node).toMatch(/_arm64\.deb$/);
    // apt chooses what they depend on from arm64's lists. All is only unpacked, because an arm64 package's scripts could not run here.
    const ours = readdirSync(out).filter((file) => !/neutron|python3/.test(file));
    const field = (file: string): string => execFileSync('dpkg-deb', ['--field', join(out, file), 'Depends', 'Recommends'], { encoding: 'utf8' });
    const wanted = ours
      .flatMap((file) => [...field(file).matchAll(/(?:^\w+: |, )([a-z0-9.+-]+)/gm)].map(([, name]) => name!))
      .filter((name) => !name.startsWith('calico'));
    const options = [
      '--mode=root',
      '--variant=extract',
      '--architectures=arm64',
      `--include=${['base-files', ...wanted].join(',')}`, // base-files has the links /lib and /bin
      '--aptopt=APT::Install-Recommends "false"',
      '--quiet',
    ];
    execFileSync('mmdebstrap', [...options, 'trixie', place], { stdio: 'pipe' });
    // /lib is a link there, which has to stay one, as dpkg sees to it.
    for (const file of ours) execFileSync('sh', ['-c', 'dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"', 'sh', join(out, file), place]);
    expect(readdirSync(join(place, 'usr/sbin'))).toEqual(expect.arrayContaining(['bird', 'dnsmasq']));
    const binary = join(place, 'usr/lib/calico-openstack/node_modules/.bin/node');
    expect(readFileSync(binary).readUInt16LE(18)).toBe(183); // the machine in an ELF header: AArch64
    // The emulator is static, so it runs inside the root. It is called by name: nothing on this host has to know of the other architecture.
    mkdirSync(join(place, 'emulator'));
    copyFileSync('/usr/bin/qemu-aarch64-static', join(place, 'emulator/qemu'));
    const run = (...words: readonly string[]): string =>
      execFileSync('chroot', [place, '/emulator/qemu', '/usr/lib/calico-openstack/node_modules/.bin/node', ...words], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      });
    expect(run('-p', 'process.arch')).toBe('arm64\n');
    for (const [room, name] of [
      ['felix', 'calico-felix'],
      ['dhcp-agent', 'calico-dhcp-agent'],
      ['bird-agent', 'calico-bird-agent'],
      ['operator', 'calico-openstack'],
    ])
      expect(run(`/usr/lib/calico-openstack/packages/${room}/dist/${name}.js`, '--version')).toBe(`${version()}\n`);
    expect(run('/usr/lib/calico-openstack/packages/felix/dist/calico-felix.js', '--help')).toContain('--check-config');
    // Felix talks to the kernel by koffi's native module.
    expect(run('-p', 'require("/usr/lib/calico-openstack/node_modules/koffi").load("libc.so.6").func("int getpid()")() > 0')).toBe('true\n');
  });
});
