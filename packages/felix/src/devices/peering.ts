// Adds and removes the host's own addresses on the interfaces of workloads that speak BGP with the host.
import { familyOf, hostCidr, type IpAddress, prefixLength } from '@calico-openstack/addresses';
import type { LinkAddress, LinkEditor, Links } from '@calico-openstack/kernel';
import type { WorkloadDevice } from '@calico-openstack/render';

/** The parts of the kernel's links that these addresses need. */
export type PeeringLinks = Pick<Links, 'addresses'> & Pick<LinkEditor, 'addAddress' | 'removeAddress'>;

type PeeringDevice = Pick<WorkloadDevice, 'interfaceName' | 'peeringAddresses'>;

/** RT_SCOPE_LINK: the address answers on its interface, and is never the source of packets that leave by another. */
const scopeLink = 253;

/** Refusals that need no retry: the link is gone, or the address is already there or gone. The event that says so will arrive. */
const harmless = ['ENODEV', 'EEXIST', 'EADDRNOTAVAIL'];

/** Programs the addresses once for each epoch of a link. Addresses that an earlier run of the agent has left are removed as well. */
export class PeeringAddresses {
  readonly #links: PeeringLinks;
  /** The epoch of the link at which the addresses of an interface were programmed. */
  readonly #settled = new Map<string, number>();

  constructor(links: PeeringLinks) {
    this.#links = links;
  }

  /** Says that the desired addresses of an interface may have changed. @param name the interface; left out for all of them */
  forget(name?: string): void {
    if (name === undefined) this.#settled.clear();
    else this.#settled.delete(name);
  }

  /**
   * Programs the addresses of an interface unless that has been done for this epoch.
   * @param link undefined when the interface does not exist
   * @returns the reason for people if the kernel refuses an address
   */
  settle({ interfaceName: name, peeringAddresses }: PeeringDevice, link: { readonly epoch: number } | undefined, ipv6: boolean): string | undefined {
    if (!link) {
      this.#settled.delete(name);
      return undefined;
    }
    if (this.#settled.get(name) === link.epoch) return undefined;
    const wanted = peeringAddresses.filter((address) => ipv6 || familyOf(address) === 4);
    const have = this.#links.addresses(name).filter(isForPeering);
    const refusals = [
      ...have.filter(({ address }) => !wanted.includes(address as IpAddress)).map((one) => this.#links.removeAddress(name, one.address, one.prefixLength)),
      ...wanted.filter((address) => !have.some((one) => one.address === address)).map((address) => this.#add(name, address)),
    ];
    const refusal = refusals.find((each) => each && !harmless.includes(each.code));
    if (refusal) return `the kernel refuses an address for BGP with the workload on ${name}: ${refusal.code}`;
    this.#settled.set(name, link.epoch);
    return undefined;
  }

  #add(name: string, address: IpAddress): ReturnType<PeeringLinks['addAddress']> {
    return this.#links.addAddress(name, address, prefixLength(hostCidr(address)), familyOf(address) === 6 ? { noDad: true } : { scope: scopeLink });
  }
}

/** Whether an address on a workload's interface is one of these. They differ from those of the DHCP agent, which adds its addresses without a route (IFA_F_NOPREFIXROUTE). */
const isForPeering = ({ family, address, prefixLength: length, scope, noPrefixRoute }: LinkAddress): boolean =>
  !noPrefixRoute && (family === 4 ? length === 32 && scope === scopeLink : length === 128 && !address.startsWith('fe80:'));
