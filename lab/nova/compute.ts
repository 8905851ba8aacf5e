// Nova's part of a compute host: libvirtd and nova-compute. Both run in the host's network namespace, and in namespaces for mounts and the hostname that only they share.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Joined } from '../plan.ts';
import type { Processes, Service } from '../process.ts';
import { type ControlAddresses, hostsFile, libvirtd as libvirtdFile, novaCompute, qemu } from './configuration.ts';

/** A host's libvirtd and nova-compute. */
export type NovaHost = {
  readonly name: string;
  readonly libvirtd: Service;
  readonly compute: Service;
  /** Runs a program in the host's namespaces for the network, mounts and the hostname. Rejects when it fails. */
  run(command: string, ...args: readonly string[]): Promise<string>;
  /** Checks that the plugin that marks Nova's taps is in force on this host. Rejects with the reason when it is not. */
  checkTaps(): Promise<string>;
};

/** The folders that each host has of its own, by the path at which the host's processes see them. */
const ownFolders: Readonly<Record<string, string>> = {
  run: '/run/libvirt',
  etc: '/etc/libvirt',
  lib: '/var/lib/libvirt',
  log: '/var/log/libvirt',
  cache: '/var/cache/libvirt',
  nova: '/var/lib/nova',
};

/** A shell script that mounts a host's own folders and files over the machine's, and starts libvirtd. Its arguments are the folder with a host's own folders, the hostname, then pairs of a folder's name and its path. */
const enterHost = `set -e
own=$1 name=$2; shift 2
while [ $# -gt 0 ]; do mkdir -p "$2"; mount --bind "$own/$1" "$2"; shift 2; done
mount --bind "$own/hosts" /etc/hosts
hostname "$name"
exec libvirtd --listen --pid-file /run/libvirt/libvirtd.pid`;

/** The folder of the programs that stand in for ssh and scp. The hosts of a lab have no SSH daemons. */
const standIns = join(import.meta.dirname, 'bin');

/** The program of nova-compute's executable. The Debian package nova-compute is not installed, because it brings QEMU for all architectures. */
const computeMain = 'import sys; from nova.cmd.compute import main; sys.argv[0] = "nova-compute"; sys.exit(main())';

/** Describes Nova's part of a host. `pythonPath` has our Python package. */
export function novaHost(
  processes: Processes,
  host: Joined,
  hosts: readonly Joined[],
  control: ControlAddresses & { readonly machine: Joined },
  pythonPath: string,
): NovaHost {
  const own = join(processes.directory, host.name, 'libvirt/own');
  // Below the service's folder, which has a file `log` already.
  const pidFile = join(own, 'run/libvirtd.pid');
  const file = join(processes.directory, host.name, 'nova-compute/nova.conf');
  const inside = ['-c', 'pid=$(cat "$1"); shift; exec nsenter -t "$pid" -n -m -u -- "$@"', 'sh', pidFile];
  const env = { PYTHONPATH: pythonPath, PYTHONDONTWRITEBYTECODE: '1' };
  const libvirtd = processes.service({
    name: `${host.name}/libvirt`,
    on: host,
    command: 'unshare',
    args: ['--mount', '--uts', '--propagation', 'private', 'sh', '-c', enterHost, 'sh', own, host.name, ...Object.entries(ownFolders).flat()],
    prepare: () => {
      for (const name of Object.keys(ownFolders)) mkdirSync(join(own, name), { recursive: true });
      for (const name of ['etc/qemu', 'run/qemu', 'nova/instances']) mkdirSync(join(own, name), { recursive: true });
      writeFileSync(join(own, 'etc/libvirtd.conf'), libvirtdFile(host));
      writeFileSync(join(own, 'etc/qemu.conf'), qemu(host));
      writeFileSync(join(own, 'hosts'), hostsFile(control.machine, hosts));
      rmSync(join(own, 'run/libvirt-sock'), { force: true });
    },
    ready: async (hopeful) => {
      const look = async (): Promise<true | undefined> => {
        hopeful();
        readFileSync(pidFile);
        await processes.run('sh', [...inside, 'virsh', '-c', 'qemu:///system', 'version']);
        return true;
      };
      await processes.until(`libvirtd of ${host.name}`, look, { intervalMs: 200 });
    },
  });
  const compute = processes.service({
    name: `${host.name}/nova-compute`,
    command: 'sh',
    args: [...inside, '/usr/bin/python3', '-c', computeMain, '--config-file', file],
    env: { ...env, PATH: `${standIns}${delimiter}${process.env.PATH}` },
    prepare: () => writeFileSync(file, novaCompute(control, host, file)),
  });
  return {
    name: host.name,
    libvirtd,
    compute,
    run: (program, ...args) => processes.run('sh', [...inside, program, ...args]),
    checkTaps: () => processes.run('sh', [...inside, '/usr/bin/python3', '-m', 'calico_openstack.nova_taps'], { env, timeoutMs: 120_000 }),
  };
}
