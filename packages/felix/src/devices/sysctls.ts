// The sysctls of an interface, and which interfaces have them.

import type { writeSysctl } from '@calico-openstack/kernel';
import type { WorkloadDevice } from '@calico-openstack/render';

export type Sysctl = {
  readonly path: readonly string[];
  readonly value: string;
  /** Without it the workload's traffic does not work. */
  readonly needed: boolean;
};

export type SysctlSettings = {
  readonly ipv6: boolean;
  /** What `net.ipv4.conf.default.rp_filter` was at the start: interfaces get it unless they may send from prefixes. */
  readonly rpFilter: string;
};

/** What an interface of a workload needs, in the order in which it is written. */
export function sysctlsOf({ interfaceName: name, spoofing }: Pick<WorkloadDevice, 'interfaceName' | 'spoofing'>, settings: SysctlSettings): readonly Sysctl[] {
  const v4 = (setting: string, value: string): Sysctl => ({ path: ['net', 'ipv4', 'conf', name, setting], value, needed: true });
  const v6 = (setting: string, value: string, needed: boolean): Sysctl => ({ path: ['net', 'ipv6', 'conf', name, setting], value, needed });
  return [
    v6('accept_ra', '0', false),
    v6('accept_dad', '0', false), // nobody else is on a tap; without it the host's own address there is of no use to DHCPv6 for two seconds
    v4('route_localnet', '1'), // metadata at 127.0.0.1 is reached through NAT
    { path: ['net', 'ipv4', 'neigh', name, 'proxy_delay'], value: '0', needed: false },
    v4('proxy_arp', '1'),
    v4('forwarding', '1'),
    v4('rp_filter', spoofing ? '0' : settings.rpFilter), // the rules do the work
    ...(settings.ipv6 ? [v6('proxy_ndp', '1', true), v6('forwarding', '1', true)] : []),
  ];
}

/** Writes them once for each life of an interface: a link that went down and up, or is another of the same name, has lost what was written. */
export class InterfaceSysctls {
  readonly #write: typeof writeSysctl;
  /** The epoch of the link under which the sysctls of an interface were written. */
  readonly #written = new Map<string, number>();

  constructor(write: typeof writeSysctl) {
    this.#write = write;
  }

  /** Other values may be wanted now. @param name of one interface; left out: of all */
  forget(name?: string): void {
    if (name === undefined) this.#written.clear();
    else this.#written.delete(name);
  }

  /** @param link undefined: the interface is not there. @returns what is needed and could not be written */
  settle(
    device: Pick<WorkloadDevice, 'interfaceName' | 'spoofing'>,
    link: { readonly epoch: number } | undefined,
    settings: SysctlSettings,
  ): string | undefined {
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
