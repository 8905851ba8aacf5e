// A VM that is a real machine: QEMU emulates it on a real tap, and it boots a kernel of its own.
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab } from '../lab.ts';
import { type Lease, parseLease } from '../lease.ts';
import { ip } from '../namespace.ts';
import { vmMachine } from '../plan.ts';
import { addressesOf, recordVm, requestPort, type Vm, type VmOptions } from '../vm.ts';
import { machineImage } from './image.ts';

/** How long booting may take. Emulation is slow, above all on a busy machine. */
const bootMs = 180_000;

/** Creates the VM's port, and builds the image if necessary. The machine echoes on TCP ports 80 and 22 as soon as it has booted. */
export async function createMachine(lab: Lab, options: VmOptions): Promise<Vm> {
  const { processes } = lab;
  const image = await machineImage(processes);
  const { facts, hostMac } = await requestPort(lab, options, 'machine');
  const { host } = options;
  const machine = vmMachine(lab.plan.prefix, facts.name);
  const directory = join(lab.directory, machine.name);
  const emulator = processes.service({
    name: `${machine.name}/qemu`,
    on: host,
    command: 'qemu-system-x86_64',
    args: [
      ...['-accel', 'tcg', '-m', '192', '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio'],
      ...['-kernel', image.kernel, '-initrd', image.initramfs, '-append', `console=ttyS0 quiet panic=-1 rdinit=/init lab.name=${machine.name}`],
      ...['-netdev', `tap,id=net,ifname=${facts.tap},script=no,downscript=no`],
      ...['-device', `virtio-net-pci,netdev=net,mac=${facts.mac},host_mtu=${facts.mtuBytes},romfile=`],
    ],
  });

  /** The lines of the console that begin with this name; undefined until the line `NAME-end`. */
  function shown(name: string): string | undefined {
    const lines = emulator.said().split(/\r*\n/);
    if (!lines.includes(`${name}-end`)) return undefined;
    return lines.flatMap((line) => (line.startsWith(`${name} `) ? [line.slice(name.length + 1)] : [])).join('\n');
  }
  const waitFor = (what: string, name: string, timeoutMs: number): Promise<string> =>
    processes.until(`${what} of ${facts.name}`, () => shown(name), { timeoutMs, intervalMs: 50 });
  const lease = async (family: 4 | 6, timeoutMs = bootMs): Promise<Lease> => parseLease(await waitFor(`an IPv${family} lease`, `lease${family}`, timeoutMs));

  async function unplug(): Promise<void> {
    emulator.kill('SIGKILL');
    await emulator.ended();
    await ip(processes, host, [`link delete ${facts.tap}`]);
    rmSync(directory, { recursive: true });
  }

  return {
    ...machine,
    facts,
    host,
    ...addressesOf(facts),
    async plug() {
      recordVm(lab, facts);
      await ip(processes, host, [
        `tuntap add dev ${facts.tap} mode tap`,
        `link set ${facts.tap} address ${hostMac} mtu ${facts.mtuBytes}`,
        `link set ${facts.tap} up`,
      ]);
    },
    startDhcp: () => emulator.start(),
    lease,
    async online(family, timeoutMs = bootMs) {
      await waitFor(`an IPv${family} default route`, `default${family}`, timeoutMs);
    },
    kernel: () => waitFor('the kernel', 'kernel', bootMs),
    unplug,
    async remove() {
      if (existsSync(directory)) await unplug();
      await lab.openstack.remove('port', facts.portId);
    },
  };
}
