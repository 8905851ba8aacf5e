// Knows which interface each single address leads to, and which addresses are leaving: they have left an interface, and their connections have not been cut yet. No route leads to an
// address that is leaving. Pure.
import { addressOf, type Cidr, hostCidr, type IpAddress, isHostCidr } from '@calico-openstack/addresses';
import type { WorkloadDevice } from '@calico-openstack/render';

type Routed = Pick<WorkloadDevice, 'routes' | 'interfaceName'>;

/** The interfaces of single addresses, and the addresses that are leaving. */
export class AddressLeads {
  /** The interface that each single address leads to. */
  readonly #leads = new Map<Cidr, string>();
  /** The addresses that are leaving, with the reason if their connections cannot be cut. */
  readonly #leaving = new Map<Cidr, string | undefined>();
  /** The interfaces that addresses led to in an earlier run, until the first change. */
  #earlier: ReadonlyMap<Cidr, string> | undefined;

  /** @param earlier the interfaces that single addresses led to in an earlier run, as far as the kernel still says */
  constructor(earlier: ReadonlyMap<Cidr, string>) {
    this.#earlier = earlier;
  }

  /**
   * Notes where addresses lead after a change. Devices that go are handled before those that come, so that an address that stays on its interface has not left.
   * @returns the addresses that led to another interface before. They are leaving from now on. The first change also returns addresses of the earlier run.
   */
  change(going: Iterable<Routed>, coming: Iterable<Routed>): readonly IpAddress[] {
    /** The former interface of each address that the change touches. */
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

  /** The interface that an address leads to, or will lead to when it is released. */
  interfaceOf(cidr: Cidr): string | undefined {
    return this.#leads.get(cidr);
  }

  /** Whether the connections of an address have still to be cut. */
  isLeaving(cidr: string): boolean {
    return this.#leaving.has(cidr as Cidr);
  }

  /** Whether there is an address that is leaving. */
  get areAnyLeaving(): boolean {
    return this.#leaving.size > 0;
  }

  /** Says that the connections of an address have been cut. */
  release(address: IpAddress): Cidr {
    const cidr = hostCidr(address);
    this.#leaving.delete(cidr);
    return cidr;
  }

  /** Says why the connections of an address cannot be cut yet. */
  hold(address: IpAddress, reason: string): void {
    const cidr = hostCidr(address);
    if (this.#leaving.has(cidr)) this.#leaving.set(cidr, `no route to ${address}: ${reason}`);
  }

  /** The reason why an address is still leaving, if `hold` gave one. */
  whyHeld(cidr: string): string | undefined {
    return this.#leaving.get(cidr as Cidr);
  }
}
