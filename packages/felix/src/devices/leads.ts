// Which interface each single address leads to, and which addresses have left: connections of theirs are still to be cut, and until then no route leads to them. Pure.
import { addressOf, type Cidr, hostCidr, type IpAddress, isHostCidr } from '@calico-openstack/addresses';
import type { WorkloadDevice } from '@calico-openstack/render';

type Routed = Pick<WorkloadDevice, 'routes' | 'interfaceName'>;

export class AddressLeads {
  /** The interface that each single address leads to. */
  readonly #leads = new Map<Cidr, string>();
  /** Addresses that have left, until they are released; with the reason why that takes long. */
  readonly #leaving = new Map<Cidr, string | undefined>();
  /** Where addresses led in an earlier run, until the first change. */
  #earlier: ReadonlyMap<Cidr, string> | undefined;

  /** @param earlier the interfaces that single addresses led to in an earlier run, as far as something still tells */
  constructor(earlier: ReadonlyMap<Cidr, string>) {
    this.#earlier = earlier;
  }

  /**
   * Notes where addresses lead after a change: all that goes before all that comes, so that an address that stays has not left.
   * @returns the addresses that led elsewhere before. They are leaving from now on. At the first change those of the earlier run are among them.
   */
  change(going: Iterable<Routed>, coming: Iterable<Routed>): readonly IpAddress[] {
    /** Where they led before, of those that are touched. */
    const led = new Map<Cidr, string | undefined>(this.#earlier);
    this.#earlier = undefined;
    const touch = ({ routes, interfaceName }: Routed, toIt: boolean): void => {
      for (const cidr of routes) {
        if (!isHostCidr(cidr)) continue;
        if (!led.has(cidr)) led.set(cidr, this.#leads.get(cidr));
        if (toIt) this.#leads.set(cidr, interfaceName);
        else if (this.#leads.get(cidr) === interfaceName) this.#leads.delete(cidr);
      }
    };
    for (const device of going) touch(device, false);
    for (const device of coming) touch(device, true);
    const left = [...led].filter(([cidr, before]) => before !== undefined && before !== this.#leads.get(cidr)).map(([cidr]) => cidr);
    for (const cidr of left) this.#leaving.set(cidr, undefined);
    return left.map(addressOf);
  }

  /** The interface that it leads to, or will when it is released. */
  interfaceOf(cidr: Cidr): string | undefined {
    return this.#leads.get(cidr);
  }

  isLeaving(cidr: string): boolean {
    return this.#leaving.has(cidr as Cidr);
  }

  get areAnyLeaving(): boolean {
    return this.#leaving.size > 0;
  }

  /** Its connections are cut. */
  release(address: IpAddress): Cidr {
    const cidr = hostCidr(address);
    this.#leaving.delete(cidr);
    return cidr;
  }

  /** Its connections cannot be cut for now, and why. */
  hold(address: IpAddress, reason: string): void {
    const cidr = hostCidr(address);
    if (this.#leaving.has(cidr)) this.#leaving.set(cidr, `no route to ${address}: ${reason}`);
  }

  /** Why it is not released yet, where that takes long. */
  whyHeld(cidr: string): string | undefined {
    return this.#leaving.get(cidr as Cidr);
  }
}
