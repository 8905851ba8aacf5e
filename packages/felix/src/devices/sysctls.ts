// Writes the sysctls of workloads' interfaces.

import { familyOf } from '@calico-openstack/addresses';
import type { writeSysctl } from '@calico-openstack/kernel';
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

/** The sysctls of a workload's interface, in the order in which they are written. */
export function sysctlsOf({ interfaceName: name, spoofing, routing, routes }: Device, settings: SysctlSettings): readonly Sysctl[] {
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
    v4('rp_filter', spoofing || routing !== 'normal' ? '0' : settings.rpFilter),
    ...(settings.ipv6 ? [v6('proxy_ndp', '1', true), v6('forwarding', '1', true)] : []),
  ];
}

/** Writes the sysctls once for each epoch of a link. A link that went down and up, or a new one of the same name, has lost them. */
export class InterfaceSysctls {
  readonly #write: typeof writeSysctl;
  /** The epoch of the link at which the sysctls of an interface were written. */
  readonly #written = new Map<string, number>();

  constructor(write: typeof writeSysctl) {
    this.#write = write;
  }

  /** Says that the desired values of an interface may have changed. @param name the interface; left out for all of them */
  forget(name?: string): void {
    if (name === undefined) this.#written.clear();
    else this.#written.delete(name);
  }

  /**
   * Writes the sysctls of an interface unless that has been done for this epoch.
   * @param link undefined when the interface does not exist
   * @returns the reason for people if a needed sysctl could not be written
   */
  settle(device: Device, link: { readonly epoch: number } | undefined, settings: SysctlSettings): string | undefined {
    const { interfaceName: name } = device;
    if (!link) {
      this.#written.delete(name);
      return undefined;
    }
    if (this.#written.get(name) === link.epoch) return undefined;
    const failed = sysctlsOf(device, settings).filter((sysctl) => this.#fails(sysctl));
    if (failed.length > 0) return `cannot write ${failed.map(({ path }) => path.join('/')).join(', ')}`;
    this.#written.set(name, link.epoch);
    return undefined;
  }

  #fails({ path, value, needed }: Sysctl): boolean {
    try {
      return this.#write(path, value) === 'absent' && needed;
    } catch {
      return needed;
    }
  }
}
