// Holds back from whom a workload may send until it is known that nobody else's connections have that address. As long as the connections of an address's former holder are not cut, the kernel
// would take packets of the new holder for theirs, and let them pass without asking the new holder's policy.
import { addressFromBytes, type Cidr, hostCidr, type IpAddress } from '@calico-openstack/addresses';
import type { NftElement } from '@calico-openstack/kernel';
import { ownAddresses, ownAddressOf, ownInterfaceOf, type TableEdit } from '@calico-openstack/render';

type Addition = Extract<TableEdit, { readonly edit: 'add-elements' }>;

const sets: ReadonlySet<string> = new Set([ownAddresses(4), ownAddresses(6)]);
const keyOf = (set: string, { key }: NftElement): string => `${set} ${String.fromCharCode(...key)}`;

/** The sources of workloads that the table `inet` does not have yet. */
export class NewSources {
  readonly #waiting = new Map<string, { readonly set: string; readonly element: NftElement; readonly address: IpAddress }>();
  /** The addresses whose former holder's connections have not been cut. */
  readonly #leaving = new Set<IpAddress>();

  /** The interfaces that were allowed to send from addresses in an earlier run, until the first `take`. Who keeps what it had is no new owner. */
  #earlier: ReadonlyMap<Cidr, string> = new Map();

  /** Notes the interface that each address led to in an earlier run, as far as the kernel still says. */
  begin(led: ReadonlyMap<Cidr, string>): void {
    this.#earlier = led;
  }

  /** Whether an edit of the table is held back, because it allows sources. An edit that forbids sources is not, and those that wait are forgotten. */
  holdsBack(edit: TableEdit): boolean {
    if (edit.edit !== 'add-elements' && edit.edit !== 'remove-elements') return false;
    const { set, elements } = edit;
    if (!sets.has(set)) return false;
    for (const element of elements)
      if (edit.edit === 'remove-elements') this.#waiting.delete(keyOf(set, element));
      else this.#waiting.set(keyOf(set, element), { set, element, address: addressFromBytes(ownAddressOf(element.key)) });
    return edit.edit === 'add-elements';
  }

  /** Notes that an address has left its former holder. */
  leaves(address: IpAddress): void {
    this.#leaving.add(address);
  }

  /** Notes that the connections of the former holder are cut. */
  release(address: IpAddress): void {
    this.#leaving.delete(address);
  }

  /** The edits that may be made now. */
  take(): readonly Addition[] {
    const edits: Addition[] = [];
    for (const [key, { set, element, address }] of this.#waiting) {
      if (this.#leaving.has(address) && this.#earlier.get(hostCidr(address)) !== ownInterfaceOf(element.key)) continue;
      this.#waiting.delete(key);
      edits.push({ edit: 'add-elements', set, elements: [element] });
    }
    this.#earlier = new Map();
    return edits;
  }
}
