// Runs a clean Debian: systemd as process 1 in namespaces of its own, on an overlay of the clean root. It has its own network, and shares only the kernel with the host.
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { bookworm, cleanRoot, type System } from './clean-root.ts';

/** How long a boot or a condition may take, because the machine that runs the test may be very busy. */
const patienceMs = 240_000;

/** A machine that was booted. */
export interface CleanMachine {
  /** Runs a script as root in it, and returns what it prints. Rejects with all that it printed when it fails. */
  run(script: string): Promise<string>;
  /** Runs a script until it succeeds. Rejects with its output after a few minutes. */
  until(script: string): Promise<string>;
  /** Ends it as a power cut does, and boots it again. Files stay, except those of /run and /tmp. */
  reboot(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Boots a machine.
 * @param folders folders of this host that it sees, by their path in it
 * @param files texts of files that it has before it boots
 * @param system the release that it runs
 */
export async function openCleanMachine(
  folders: Readonly<Record<string, string>>,
  files: Readonly<Record<string, string>> = {},
  system: System = bookworm,
): Promise<CleanMachine> {
  const place = mkdtempSync(join(tmpdir(), `clean-machine-${process.pid}-`));
  for (const each of ['up', 'work', 'root']) mkdirSync(join(place, each));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(place, 'up', path)), { recursive: true });
    writeFileSync(join(place, 'up', path), text);
  }
  const script = join(place, 'boot');
  writeFileSync(script, bootScript(cleanRoot(system), place, folders));
  let booted = await boot(script);
  const run = (command: string): Promise<string> => inside(booted.pid, command);
  return {
    run,
    async until(command) {
      const endMs = Date.now() + patienceMs;
      for (;;) {
        try {
          return await run(command);
        } catch (error) {
          if (Date.now() > endMs) throw error;
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
      }
    },
    async reboot() {
      await booted.end();
      booted = await boot(script);
    },
    async close() {
      await booted.end();
      rmSync(place, { recursive: true, force: true });
    },
  };
}

/** Mounts the file systems that an init expects, and executes the init. It runs in new namespaces, so that everything vanishes with the init. */
function bootScript(lower: string, place: string, folders: Readonly<Record<string, string>>): string {
  const binds = Object.entries(folders).map(([to, from]) => `mkdir -p .${to}; mount --bind ${from} .${to}; mount -o remount,ro,bind .${to}`);
  const devices = ['null 1 3', 'zero 1 5', 'full 1 7', 'random 1 8', 'urandom 1 9', 'tty 5 0', 'net/tun 10 200'];
  return `set -e
mount -t overlay overlay -o lowerdir=${lower},upperdir=${place}/up,workdir=${place}/work ${place}/root
cd ${place}/root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs -o mode=755 none run
mount -t tmpfs none tmp
mount -t tmpfs -o mode=755 none dev
mkdir dev/pts dev/shm dev/net
${devices.map((device) => `mknod -m 666 dev/${device.replace(' ', ' c ')}`).join('\n')}
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
${binds.join('\n')}
hostname $(cat etc/hostname)
pivot_root . mnt
umount --lazy /mnt
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot . /lib/systemd/systemd --show-status=false
`;
}

/** Where the kernel has the unified hierarchy of cgroups, alone or beside the old one. */
const unifiedCgroups = (): string => / (\S+) cgroup2 /.exec(readFileSync('/proc/mounts', 'utf8'))?.[1] ?? '/sys/fs/cgroup';

type Booted = { readonly pid: number; end(): Promise<void> };

async function boot(script: string): Promise<Booted> {
  // systemd needs a cgroup of its own as the root of the hierarchy that it sees.
  const cgroup = join(unifiedCgroups(), `clean-machine-${process.pid}-${Date.now()}`);
  mkdirSync(cgroup);
  const namespaces = ['--fork', '--pid', '--mount', '--propagation', 'private', '--uts', '--ipc', '--net', '--cgroup', '--kill-child'];
  const enter = `echo $$ > ${cgroup}/cgroup.procs; exec unshare ${namespaces.join(' ')} bash ${script}`;
  const outer = spawn('bash', ['-c', enter], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  outer.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const ended = once(outer, 'exit');
  const endMs = Date.now() + patienceMs;
  const end = async (): Promise<void> => {
    outer.kill('SIGKILL'); // the kernel ends the init with it (--kill-child), and all processes of its namespace with the init
    await ended;
    execFileSync('bash', [
      '-c',
      `for i in $(seq 100); do find ${cgroup} -depth -type d -exec rmdir {} + 2>/dev/null; [ -d ${cgroup} ] || exit 0; sleep 0.1; done`,
    ]);
  };
  for (;;) {
    const pid = Number(readFileSync(`/proc/${outer.pid}/task/${outer.pid}/children`, 'utf8').trim().split(' ')[0]);
    try {
      // the state is `running`, or `degraded` when a unit has failed; which unit may fail is for the tests to check
      if (pid > 0) await inside(pid, 'systemctl is-system-running --wait >/dev/null 2>&1 || true; systemctl list-units >/dev/null');
      if (pid > 0) return { pid, end };
    } catch (error) {
      if (Date.now() > endMs || outer.exitCode !== null) {
        await end();
        throw new Error(`the clean machine has not booted: ${said}`, { cause: error });
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function inside(pid: number, script: string): Promise<string> {
  const enter = ['--target', String(pid), '--mount', '--pid', '--net', '--uts', '--ipc', '--cgroup', '--root', '--wd'];
  const environment = ['env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'LC_ALL=C.UTF-8', 'DEBIAN_FRONTEND=noninteractive'];
  return new Promise((resolve, reject) => {
    execFile(
      'nsenter',
      [...enter, ...environment, 'bash', '--norc', '-euo', 'pipefail', '-c', script],
      { maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        if (error) reject(new Error(`${script}\n${stdout}${stderr}`, { cause: error }));
        else resolve(stdout);
      },
    );
  });
}

/** A script that prints `active` for each of these units, and fails while one is not. Asked for several units at once, systemctl is content with one. */
export const areActive = (units: readonly string[]): string => units.map((unit) => `systemctl is-active ${unit}\n`).join('');
