// Settings of the host as a whole: switches forwarding on, keeps it on, and logs a warning when another setting overrules ours.
import type { Logger } from '@calico-openstack/agent';
import type { Links, readSysctl, writeSysctl } from '@calico-openstack/kernel';
import type { FelixConfig } from './option-table.ts';

/** What `HostSettings` works with. */
export type HostSettingsParts = {
  readonly read: typeof readSysctl;
  readonly write: typeof writeSysctl;
  readonly links: Pick<Links, 'links'>;
  /** Whether a link with this name is a workload's. */
  readonly isWorkloads: (name: string) => boolean;
  readonly log: Logger;
};

const forwardingSysctl = { 4: ['net', 'ipv4', 'ip_forward'], 6: ['net', 'ipv6', 'conf', 'all', 'forwarding'] } as const;
const reversePath = ['net', 'ipv4', 'conf', 'all', 'rp_filter'] as const;

/** Whether this kernel has IPv6. `ipv6.disable=1` on its command line takes it away with all its settings. */
export const kernelHasIpv6 = (read: typeof readSysctl): boolean => read(forwardingSysctl[6]) !== undefined;

/** The settings of the host as a whole. */
export class HostSettings {
  readonly #parts: HostSettingsParts;
  #wanted: ReadonlySet<4 | 6> = new Set();
  /** Whether the kernel's settings may differ from those that were last read. */
  #doubtful = true;
  /** The value of `net.ipv4.conf.all.rp_filter` for which the log has the warning that it overrules an interface's. */
  #overruledBy: string | undefined;

  constructor(parts: HostSettingsParts) {
    this.#parts = parts;
  }

  /** Says that another program may have changed these settings. */
  doubt(): void {
    this.#doubtful = true;
  }

  /**
   * Switches forwarding on for each family for which the settings want it, also again when another program has switched it off. It is never switched off here, because others may need it.
   * @param areAnyUnfiltered whether there is an interface from which the reverse-path filter must let everything in
   */
  settle({ IPForwarding, Ipv6Support }: Pick<FelixConfig, 'IPForwarding' | 'Ipv6Support'>, areAnyUnfiltered: boolean): void {
    const wanted = new Set(([4, 6] as const).filter((family) => IPForwarding === 'Enabled' && (family === 4 || Ipv6Support)));
    for (const family of wanted) {
      const isNew = !this.#wanted.has(family);
      if (isNew || this.#doubtful) this.#forward(family, isNew);
    }
    this.#wanted = wanted;
    this.#doubtful = false;
    this.#tellOverruled(areAnyUnfiltered ? (this.#parts.read(reversePath) ?? '0') : '0');
  }

  #forward(family: 4 | 6, isNew: boolean): void {
    const path = forwardingSysctl[family];
    if (!isNew && this.#parts.read(path) !== '0') return;
    if (!isNew)
      this.#parts.log.warn(
        { sysctl: path.join('/') },
        'another program has switched forwarding off, so that no workload of this host could be reached; Felix switches it on again; find out which program did it, often a file in /etc/sysctl.d',
      );
    if (family === 6 && this.#parts.read(path) === '0') this.keepRouterAdvertisements();
    switchOn(path, this.#parts);
  }

  /**
   * Sets `accept_ra` to 2 for each interface of the host's own that accepts router advertisements because it does not forward. Must be called before IPv6 forwarding is switched on for
   * the host or for any interface. At that moment the kernel forgets all default routes that it has learnt from router advertisements, except those of interfaces whose `accept_ra` is 2.
   * An interface that forwards accepts no further advertisements either. The host may be administered over such a route.
   */
  keepRouterAdvertisements(): void {
    const { read, write, links, isWorkloads, log } = this.#parts;
    const kept: string[] = [];
    for (const name of links.links.keys()) {
      const of = (setting: string): readonly string[] => ['net', 'ipv6', 'conf', name, setting];
      if (name === 'lo' || isWorkloads(name) || read(of('accept_ra')) !== '1' || read(of('forwarding')) !== '0') continue;
      try {
        if (write(of('accept_ra'), '2') === 'written') kept.push(name);
      } catch (error) {
        log.warn(
          { err: error, interface: name },
          'cannot set accept_ra to 2, so the host loses what it has learnt on the interface from router advertisements; set net.ipv6.conf.INTERFACE.accept_ra to 2 on this host',
        );
      }
    }
    if (kept.length > 0)
      log.info(
        { interfaces: kept.join(',') },
        'IPv6 forwarding is being switched on; accept_ra of these interfaces is 2 from now on, so that the host goes on learning routes and addresses from router advertisements as before',
      );
  }

  /** Writes a sysctl of a workload's interface. */
  writeOfInterface(path: readonly string[], value: string | number): ReturnType<typeof writeSysctl> {
    const { read, write } = this.#parts;
    if (path[1] === 'ipv6' && path.at(-1) === 'forwarding' && read(path) === '0') this.keepRouterAdvertisements();
    return write(path, value);
  }

  /** The kernel takes the greater value of that for all interfaces and that of the interface. */
  #tellOverruled(value: string): void {
    const overruledBy = value === '0' ? undefined : value;
    if (overruledBy === this.#overruledBy) return;
    this.#overruledBy = overruledBy;
    if (overruledBy)
      this.#parts.log.warn(
        { 'net.ipv4.conf.all.rp_filter': overruledBy },
        'the reverse-path filter for all interfaces overrules that of workloads that may send from other addresses or arrive by live migration; theirs is in the loose mode now, by which the kernel still drops what they send where their interface has no IPv4 address of the host (without DHCP) or the source has no route; set net.ipv4.conf.all.rp_filter to 0, Felix’s rules check sources',
      );
  }
}

/** Sets a sysctl to 1, or logs what stays switched off. */
export function switchOn(path: readonly string[], { write, log }: Pick<HostSettingsParts, 'write' | 'log'>): void {
  const sysctl = path.join('/');
  try {
    if (write(path, '1') === 'absent')
      log.warn({ sysctl }, 'this kernel does not have the sysctl, so what it would switch on stays off; load the kernel module that has it');
  } catch (error) {
    log.warn({ sysctl, err: error }, 'cannot set the sysctl to 1, so what it would switch on stays off; set it on this host');
  }
}
