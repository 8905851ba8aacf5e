// Builds a small Linux for emulated machines: the distribution's kernel, and an initramfs with BusyBox, dash, dhclient, ip and the scripts of the namespace VMs.

import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { LabError } from '../errors.ts';
import type { Processes } from '../process.ts';
import { cache } from '../services/tables.ts';

/** The paths of a kernel and its initramfs. */
export type Image = { readonly kernel: string; readonly initramfs: string };

/** The folder where tools/install puts the kernel's package. It is not installed, because that would change what a real machine boots next. */
const packages = join(cache, 'kernel');

/** The kernel modules in an order in which they can be loaded. The guest loads its files in the order of their names, which begin with one digit: at most nine. */
const modules = ['virtio_ring', 'virtio', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_pci', 'failover', 'net_failover', 'virtio_net'];

const guestFiles = ['init', 'udhcpc', 'dhclient6', 'start-dhclient6'];
const programs = ['/usr/bin/busybox', '/usr/bin/dash', '/usr/sbin/dhclient', '/usr/sbin/ip'];

/** The image. It is built once and kept until something in it changes. PROGRAM_MISSING when there is no kernel. */
export async function machineImage(processes: Processes): Promise<Image> {
  const found = existsSync(packages) ? readdirSync(packages).filter((name) => name.endsWith('.deb')) : [];
  const newest = found.sort().at(-1);
  if (newest === undefined) throw new LabError('PROGRAM_MISSING', `there is no kernel for an emulated machine in ${packages}; run: tools/install demo qemu`);
  const key = createHash('sha256').update(newest);
  for (const file of [import.meta.filename, ...guestFiles.map(guestFile), ...programs]) key.update(readFileSync(file));
  const folder = join(cache, `machine-${key.digest('hex').slice(0, 16)}`);
  if (!existsSync(folder)) await makeImage(processes, join(packages, newest), folder);
  return { kernel: join(folder, 'kernel'), initramfs: join(folder, 'initramfs') };
}

async function makeImage(processes: Processes, kernelPackage: string, folder: string): Promise<void> {
  const work = `${folder}.${process.pid}`;
  const unpacked = join(work, 'package');
  const root = join(work, 'root');
  try {
    mkdirSync(work);
    await processes.run('dpkg-deb', ['-x', kernelPackage, unpacked]);
    copyFileSync(join(unpacked, 'boot', only(unpacked, 'boot', /^vmlinuz-/)), join(work, 'kernel'));
    for (const directory of ['bin', 'sbin', 'modules', 'proc', 'sys', 'dev', 'run', 'tmp', 'usr/bin', 'usr/sbin', 'var/lib/dhcp'])
      mkdirSync(join(root, directory), { recursive: true });
    const tree = join(unpacked, 'lib/modules', only(unpacked, 'lib/modules', /./));
    const files = readdirSync(tree, { recursive: true, encoding: 'utf8' });
    for (const [index, name] of modules.entries()) {
      const file = files.find((path) => basename(path) === `${name}.ko`);
      if (file === undefined) throw new LabError('PROGRAM_MISSING', `${basename(kernelPackage)} has no module ${name}`);
      copyFileSync(join(tree, file), join(root, 'modules', `${index}-${name}.ko`));
    }
    copyFileSync('/usr/bin/busybox', join(root, 'bin/busybox'));
    for (const program of programs.slice(1)) {
      copyFileSync(program, join(root, 'sbin', basename(program)));
      for (const library of await librariesOf(processes, program)) {
        mkdirSync(join(root, dirname(library)), { recursive: true });
        copyFileSync(realpathSync(library), join(root, library));
      }
    }
    for (const name of guestFiles) copyFileSync(guestFile(name), join(root, name));
    await processes.run('sh', ['-c', 'cd "$1" && find . | busybox cpio -o -H newc >"$2"', 'sh', root, join(work, 'initramfs')]);
    for (const leftover of [unpacked, root]) rmSync(leftover, { recursive: true });
    prune();
    if (!existsSync(folder)) renameSync(work, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const guestFile = (name: string): string => join(import.meta.dirname, '../guest', name);

function only(root: string, folder: string, form: RegExp): string {
  const [name] = readdirSync(join(root, folder)).filter((found) => form.test(found));
  if (name === undefined) throw new LabError('PROGRAM_MISSING', `the kernel's package has no ${folder}/${form.source}`);
  return name;
}

/** The shared libraries of a program, with the loader. */
async function librariesOf(processes: Processes, program: string): Promise<string[]> {
  const printed = await processes.run('ldd', [program]);
  return [...printed.matchAll(/(\/\S+) \(0x/g)].map(([, path = '']) => path);
}

/** Removes the images of earlier kernels and programs. */
function prune(): void {
  for (const name of readdirSync(cache)) if (/^machine-[0-9a-f]+$/.test(name)) rmSync(join(cache, name), { recursive: true, force: true });
}
