// The host's own addresses on the interfaces of workloads that it speaks BGP with, and which interfaces have them.
import { familyOf, hostCidr, type IpAddress, prefixLength } from '@calico-openstack/addresses';
import type { LinkAddress, LinkEditor, Links } from '@calico-openstack/kernel';
import type { WorkloadDevice } from '@calico-openstack/render';

export type PeeringLinks = Pick<Links, 'addresses'> & Pick<LinkEditor, 'addAddress' | 'removeAddress'>;

type PeeringDevice = Pick<WorkloadDevice, 'interfaceName' | 'peeringAddresses'>;

/** RT_SCOPE_LINK: the address answers on its interface, and is never the source of what leaves by another. */
const scopeLink = 253;

/** The link is gone, or the address is there or gone already: the event that says so is on its way. */
const harmless = ['ENODEV', 'EEXIST', 'EADDRNOTAVAIL'];

/** Makes the addresses right once for each life of an interface, those that an earlier run of the agent has left included. */
export class PeeringAddresses {
  readonly #links: PeeringLinks;
  /** The epoch of the link under which the addresses of an interface were made right. */
  readonly #settled = new Map<string, number>();

  constructor(links: PeeringLinks) {
    this.#links = links;
  }

  /** Other addresses may be wanted now. @param name of one interface; left out: of all */
  forget(name?: string): void {
    if (name === undefined) this.#settled.clear();
    else this.#settled.delete(name);
  }

  /** @param link undefined: the interface is not there. @returns why the interface does not have its addresses */
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

/** A single address for which the kernel keeps its route is nobody else's on an interface of a workload: the DHCP agent adds its addresses without that route. */
const isForPeering = ({ family, address, prefixLength: length, scope, noPrefixRoute }: LinkAddress): boolean =>
  !noPrefixRoute && (family === 4 ? length === 32 && scope === scopeLink : length === 128 && !address.startsWith('fe80:'));
