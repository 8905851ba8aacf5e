// Follows the addresses that several ports share, such as those of VRRP groups, to the port whose guest has them.
import { addressOf, type Cidr, cidrContains, familyOf, hostCidr } from '@calico-openstack/addresses';
import { type Clock, type Logger, type Loop, startLoop } from '@calico-openstack/agent';
import type { LocalWorkload, ProfileId, WorkloadId } from '@calico-openstack/datamodel';
import type { Link } from '@calico-openstack/kernel';
import { AddressHolders } from './holders.ts';
import type { AddressTalk, Heard } from './talk.ts';

/** What `Sharing` works with. */
export type SharingParts = {
  /** Opens the sockets that ask guests and hear their answers (talk.ts). */
  readonly open: (onHeard: (heard: Heard) => void) => AddressTalk;
  readonly links: { link(name: string): Link | undefined; nameOf(index: number): string | undefined };
  /** The interfaces that single addresses led to when this process started. */
  readonly led: ReadonlyMap<Cidr, string>;
  readonly log: Logger;
  readonly clock: Clock;
  /** Called when `takeChanged` would return something. */
  readonly onChange: () => void;
};

/** The shared addresses of this host. */
export class Sharing {
  readonly #parts: SharingParts;
  readonly #holders = new AddressHolders();
  readonly #workloads = new Map<WorkloadId, LocalWorkload>();
  readonly #byInterface = new Map<string, WorkloadId>();
  readonly #loop: Loop;
  #talk: AddressTalk | undefined;
  /** Whether the log has the warning that the host cannot ask guests. */
  #isMute = false;

  constructor(parts: SharingParts) {
    this.#parts = parts;
    this.#loop = startLoop({
      run: () => this.#run(),
      onFailure: (error) => parts.log.error({ err: error }, 'a fault of Felix: it failed to follow addresses that ports share; please report this line'),
      clock: parts.clock,
    });
  }

  /**
   * Notes changed workloads; undefined for one that is gone.
   * @param follow whether shared addresses follow guests; if not, no address counts as shared
   * @param routedBefore the addresses that were routed to a workload before this change. The workload keeps them when they become shared, as long as its guest answers
   */
  note(
    workloads: Iterable<readonly [WorkloadId, LocalWorkload | undefined]>,
    follow: boolean,
    routedBefore: (id: WorkloadId) => readonly Cidr[] | undefined,
  ): void {
    const nowMs = this.#parts.clock.steadyMs();
    for (const [id, workload] of workloads) {
      const before = this.#workloads.get(id);
      const shared = follow ? workload?.shared : undefined;
      if (!before && !shared) continue;
      if (before && this.#byInterface.get(before.interfaceName) === id) this.#byInterface.delete(before.interfaceName);
      if (workload && shared) {
        this.#workloads.set(id, workload);
        this.#byInterface.set(workload.interfaceName, id);
      } else this.#workloads.delete(id);
      const had = (cidr: Cidr): boolean => routedBefore(id)?.includes(cidr) ?? this.#parts.led.get(cidr) === workload?.interfaceName;
      this.#holders.set(id, shared?.addresses ?? [], shared?.createdMs ?? 0, had, nowMs);
    }
    this.#openOrClose();
    if (this.#workloads.size > 0) this.#loop.wake();
  }

  /** The holders that have changed since the last call, for `Calculation.setHolders`. */
  takeChanged(): ReadonlyMap<Cidr, WorkloadId | undefined> | undefined {
    return this.#isMute ? undefined : this.#holders.takeChanged();
  }

  async close(): Promise<void> {
    await this.#loop.close();
    this.#talk?.close();
    this.#talk = undefined;
  }

  #openOrClose(): void {
    if (this.#workloads.size === 0) {
      this.#talk?.close();
      this.#talk = undefined;
    }
    if (this.#workloads.size === 0 || this.#talk || this.#isMute) return;
    try {
      this.#talk = this.#parts.open((heard) => this.#hear(heard));
    } catch (error) {
      this.#isMute = true;
      this.#parts.log.warn(
        { err: error },
        'cannot ask guests which of them has an address that their ports share: the oldest port has it, whatever its guest says; start Felix with CAP_NET_RAW',
      );
    }
  }

  #run(): number | undefined {
    if (!this.#talk) return undefined;
    const { clock, links, onChange } = this.#parts;
    for (const { cidr, id } of this.#holders.take(clock.steadyMs())) {
      const { interfaceName, ipv4Gateway } = this.#workloads.get(id)!;
      const link = links.link(interfaceName);
      if (link?.running && link.mac !== undefined)
        this.#talk.ask({ index: link.index, mac: link.mac }, addressOf(cidr), familyOf(cidr) === 4 ? ipv4Gateway : undefined);
    }
    if (this.#holders.haveChanged) onChange();
    return this.#holders.restMs(clock.steadyMs());
  }

  /** Whether a guest's announcement or answer counts: the address must be one of its own port's, and the MAC one that the port may use for it. */
  #hear({ linkIndex, address, is, macs }: Heard): void {
    const name = this.#parts.links.nameOf(linkIndex);
    const id = name === undefined ? undefined : this.#byInterface.get(name);
    if (id === undefined) return;
    const cidr = hostCidr(address);
    const workload = this.#workloads.get(id)!;
    if (!workload.shared!.addresses.includes(cidr) || !macs.every((mac) => mayUse(workload, mac, cidr))) return;
    const nowMs = this.#parts.clock.steadyMs();
    if (is === 'announcement') this.#holders.announced(cidr, id, nowMs);
    else this.#holders.answered(cidr, id, nowMs);
    if (this.#holders.haveChanged) this.#parts.onChange();
    this.#loop.wake(); // the next question is due at another time
  }
}

function mayUse({ mac, pairMacs = [], policy }: LocalWorkload, used: string, cidr: Cidr): boolean {
  if (mac === undefined || used === mac || policy.profiles.includes('projectcalico-default-allow' as ProfileId)) return true;
  return pairMacs.some((pair) => pair.mac === used && pair.addresses.some((own) => cidrContains(own, cidr)));
}
