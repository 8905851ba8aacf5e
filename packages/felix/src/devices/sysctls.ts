// Writes the sysctls of workloads' interfaces, and writes them again when another program has changed them.

import { familyOf } from '@calico-openstack/addresses';
import type { NetconfChange, readSysctl, writeSysctl } from '@calico-openstack/kernel';
import type { PlacedDevice } from './arrivals.ts';

/** A sysctl and its desired value. */
export type Sysctl = {
  /** The parts of the path under /proc/sys. */
  readonly path: readonly string[];
  readonly value: string;
  /** Whether the workload's traffic depends on it. */
  readonly needed: boolean;
};

/** The settings that decide about sysctls. */
export type SysctlSettings = {
  readonly ipv6: boolean;
  /** The value that `net.ipv4.conf.default.rp_filter` had at the start. Interfaces get it unless they may send from prefixes. */
  readonly rpFilter: string;
};

type Device = Pick<PlacedDevice, 'interfaceName' | 'spoofing' | 'routing' | 'routes'>;

/** Whether the kernel's reverse-path filter must let everything in from an interface, because only our rules know what the workload may send. */
export const isUnfiltered = ({ spoofing, routing }: Pick<PlacedDevice, 'spoofing' | 'routing'>): boolean =>
  spoofing || routing === 'held' || routing === 'elevated';

/**
 * The sysctls of a workload's interface, in the order in which they are written.
 * @param rpFilterOfAll `net.ipv4.conf.all.rp_filter`
 */
export function sysctlsOf({ interfaceName: name, spoofing, routing, routes }: Device, settings: SysctlSettings, rpFilterOfAll: string): readonly Sysctl[] {
  const v4 = (setting: string, value: string): Sysctl => ({ path: ['net', 'ipv4', 'conf', name, setting], value, needed: true });
  const v6 = (setting: string, value: string, needed: boolean): Sysctl => ({ path: ['net', 'ipv6', 'conf', name, setting], value, needed });
  return [
    // An operator's default, or `--remove` (takeover/remove.ts), may have switched IPv6 off; then the kernel takes no IPv6 route of the interface.
    ...(settings.ipv6 && routes.some((cidr) => familyOf(cidr) === 6) ? [v6('disable_ipv6', '0', true)] : []),
    v6('accept_ra', '0', false),
    v6('accept_dad', '0', false), // duplicate address detection would keep DHCPv6 from using the host's address for two seconds, and a tap has no other host
    v4('route_localnet', '1'), // NAT leads metadata requests to 127.0.0.1
    { path: ['net', 'ipv4', 'neigh', name, 'proxy_delay'], value: '0', needed: false },
    v4('proxy_arp', '1'),
    v4('forwarding', '1'),
    // The nftables rules check sources, including those prefixes, and those of a guest that begins to send before its routes are here.
    v4('rp_filter', isUnfiltered({ spoofing, routing }) ? weakestRpFilter(rpFilterOfAll) : settings.rpFilter),
    ...(settings.ipv6 ? [v6('proxy_ndp', '1', true), v6('forwarding', '1', true)] : []),
  ];
}

/**
 * The value with which the kernel checks an interface's sources least. It uses the greater of the interface's value and that of `all`, so where `all` is strict (1), only the loose
 * mode (2, RFC 3704) lets in what has no route by the interface. The loose mode needs an IPv4 address on the interface, which the DHCP agent puts there.
 */
const weakestRpFilter = (ofAll: string): string => (ofAll === '0' ? '0' : '2');

const allRpFilter = ['net', 'ipv4', 'conf', 'all', 'rp_filter'] as const;

/** The last part of the path of each setting that the kernel reports when it changes, by family. Others are compared with `audit` only. */
const reported = {
  4: { forwarding: 'forwarding', rpFilter: 'rp_filter', proxy: 'proxy_arp' },
  6: { forwarding: 'forwarding', rpFilter: undefined, proxy: 'proxy_ndp' },
} as const;

/** What is known of an interface whose sysctls have been written. */
type Settled = {
  /** The epoch of the link at which they were written. */
  readonly epoch: number;
  readonly sysctls: readonly Sysctl[];
  /** Whether another program may have changed some of them since. */
  readonly doubtful: boolean;
};

/** What reads and writes sysctls. */
export type SysctlKernel = {
  readonly writeSysctl: typeof writeSysctl;
  readonly readSysctl: typeof readSysctl;
  /** Called when sysctls of an interface had other values than were written, and have been written again. */
  readonly onSysctlsRestored: (interfaceName: string, paths: readonly string[]) => void;
};

/** Writes the sysctls once for each epoch of a link: a link that went down and up, or a new one of the same name, has lost them. */
export class InterfaceSysctls {
  readonly #kernel: SysctlKernel;
  readonly #settled = new Map<string, Settled>();

  constructor(kernel: SysctlKernel) {
    this.#kernel = kernel;
  }

  /** Says that the desired values of an interface may have changed. @param name the interface; left out for all of them */
  forget(name?: string): void {
    if (name === undefined) this.#settled.clear();
    else this.#settled.delete(name);
  }

  /** Says that another program may have changed the sysctls of an interface. */
  doubt(name: string): void {
    const settled = this.#settled.get(name);
    if (settled) this.#settled.set(name, { ...settled, doubtful: true });
  }

  /** Notes values that the kernel has reported for an interface. Returns whether they are in doubt by that. Our own writes are reported too, and are as desired. */
  note(name: string, change: NetconfChange): boolean {
    const settled = this.#settled.get(name);
    if (!settled) return false;
    const names = reported[change.family];
    const differs = (['forwarding', 'rpFilter', 'proxy'] as const).some((field) => {
      const wanted = settled.sysctls.find(({ path }) => path[1] === `ipv${change.family}` && path[2] === 'conf' && path.at(-1) === names[field]);
      return wanted !== undefined && change[field] !== undefined && String(change[field]) !== wanted.value;
    });
    if (differs) this.doubt(name);
    return differs;
  }

  /**
   * Writes the sysctls of an interface unless that has been done for this epoch.
   * @param link undefined when the interface does not exist
   * @returns the reason for people if a needed sysctl could not be written
   */
  settle(device: Device, link: { readonly epoch: number } | undefined, settings: SysctlSettings): string | undefined {
    const { interfaceName: name } = device;
    if (!link) {
      this.#settled.delete(name);
      return undefined;
    }
    const before = this.#settled.get(name);
    if (before?.epoch === link.epoch && !before.doubtful) return undefined;
    const sysctls = sysctlsOf(device, settings, this.#rpFilterOfAll());
    const done = sysctls.map((sysctl) => [sysctl, this.#put(sysctl)] as const);
    const failed = done.filter(([{ needed }, result]) => needed && (result === 'failed' || result === 'absent'));
    const restored = before?.epoch === link.epoch ? done.filter(([, result]) => result === 'written') : [];
    if (restored.length > 0)
      this.#kernel.onSysctlsRestored(
        name,
        restored.map(([{ path }]) => path.join('/')),
      );
    if (failed.length > 0) return `cannot write ${failed.map(([{ path }]) => path.join('/')).join(', ')}`;
    this.#settled.set(name, { epoch: link.epoch, sysctls, doubtful: false });
    return undefined;
  }

  #rpFilterOfAll(): string {
    try {
      return this.#kernel.readSysctl(allRpFilter) ?? '0';
    } catch {
      return '0'; // a host that does not say it; the interface's own value is all that is left
    }
  }

  #put({ path, value }: Sysctl): ReturnType<typeof writeSysctl> | 'failed' {
    try {
      return this.#kernel.writeSysctl(path, value);
    } catch {
      return 'failed';
    }
  }
}
