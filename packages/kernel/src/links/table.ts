// Keeps the known links, from a reading and the events since then. Pure. The order of events is handled here alone.
import { unreachable } from '@calico-openstack/agent/errors';
import type { Link, LinkAddress, LinkChange, LinkEvent, LinkFacts, LinkReading } from './link.ts';

/** The known links and addresses. */
export interface LinkTable {
  readonly links: ReadonlyMap<string, Link>;
  nameOf(index: number): string | undefined;
  addresses(name: string): readonly LinkAddress[];
  /** Applies events in the kernel's order. They may be older than the last reading: the final state is the same. */
  apply(events: readonly LinkEvent[]): LinkChange;
  /** Replaces everything by a reading. `lost` means that events are missing, so every link may have lost its routes and neighbours in between. */
  replace(reading: LinkReading, lost: boolean): LinkChange;
}

const none: readonly LinkAddress[] = [];

/** The links that lost an address, or an IPv4 address, while events were applied. They are listed even if the address is back, because the kernel may have dropped routes with it. */
type Lost = { readonly any: Set<string>; readonly ipv4: Set<string> };

/** Creates an empty table. It is longer than 80 lines because its maps must be changed together, and every function changes several. */
export function createLinkTable(): LinkTable {
  const byIndex = new Map<number, Link>();
  /** The indices of links with a name, the latest last: around a rename two may have it for a moment. */
  const claims = new Map<string, readonly number[]>();
  const named = new Map<string, Link>();
  /** The addresses by link index; an address can be reported before its link. */
  const addressesOn = new Map<number, readonly LinkAddress[]>();
  let lastEpoch = 0;

  const addresses = (name: string): readonly LinkAddress[] => addressesOn.get(named.get(name)?.index ?? -1) ?? none;

  /** Runs `change` and returns what differs afterwards. */
  function observed(change: (touch: (name: string | undefined) => void, lost: Lost) => void): LinkChange {
    const lost: Lost = { any: new Set(), ipv4: new Set() };
    const before = new Map<string, { readonly link: Link | undefined; readonly addresses: readonly LinkAddress[] }>();
    change((name) => {
      if (name !== undefined && !before.has(name)) before.set(name, { link: named.get(name), addresses: addresses(name) });
    }, lost);
    for (const name of before.keys()) {
      const link = byIndex.get(claims.get(name)?.at(-1) ?? -1);
      if (link) named.set(name, link);
      else named.delete(name);
    }
    const changed = { links: new Set<string>(), addresses: new Set(lost.any), lostIpv4: lost.ipv4 };
    for (const [name, was] of before) {
      if (!sameLink(was.link, named.get(name))) changed.links.add(name);
      if (!sameAddresses(was.addresses, addresses(name))) changed.addresses.add(name);
    }
    return changed;
  }

  function put(facts: LinkFacts, lost: boolean): void {
    const known = byIndex.get(facts.index);
    const epoch = known && !lost && !(known.up && !facts.up) ? known.epoch : ++lastEpoch;
    if (known) disclaim(known);
    byIndex.set(facts.index, { ...facts, epoch });
    claims.set(facts.name, [...(claims.get(facts.name) ?? []), facts.index]);
  }

  function remove(index: number): void {
    const known = byIndex.get(index);
    if (known) disclaim(known);
    byIndex.delete(index);
  }

  function disclaim({ name, index }: Link): void {
    const others = (claims.get(name) ?? []).filter((other) => other !== index);
    if (others.length > 0) claims.set(name, others);
    else claims.delete(name);
  }

  function applyOne(event: LinkEvent, touch: (name: string | undefined) => void, lost: Lost): void {
    switch (event.event) {
      case 'link':
        touch(byIndex.get(event.link.index)?.name);
        touch(event.link.name);
        put(event.link, false);
        break;
      case 'gone':
        touch(byIndex.get(event.index)?.name);
        addressesOn.delete(event.index);
        remove(event.index);
        break;
      case 'address':
      case 'address-gone': {
        const name = byIndex.get(event.index)?.name;
        touch(name);
        if (name !== undefined && event.event === 'address-gone') {
          lost.any.add(name);
          if (event.address.family === 4) lost.ipv4.add(name);
        }
        const others = (addressesOn.get(event.index) ?? none).filter((address) => !isSameAddress(address, event.address));
        const now = event.event === 'address' ? [...others, event.address] : others;
        if (now.length > 0) addressesOn.set(event.index, now);
        else addressesOn.delete(event.index);
        break;
      }
      default:
        unreachable(event);
    }
  }

  return {
    links: named,
    nameOf: (index) => byIndex.get(index)?.name,
    addresses,
    apply: (events) =>
      observed((touch, lost) => {
        for (const event of events) applyOne(event, touch, lost);
      }),
    replace: (reading, lost) =>
      observed((touch) => {
        for (const name of claims.keys()) touch(name);
        for (const link of reading.links) touch(link.name);
        const here = new Set(reading.links.map((link) => link.index));
        for (const index of [...byIndex.keys()]) if (!here.has(index)) remove(index);
        for (const link of reading.links) put(link, lost);
        addressesOn.clear();
        for (const { index, address } of reading.addresses) addressesOn.set(index, [...(addressesOn.get(index) ?? none), address]);
      }),
  };
}

/** Whether two addresses are the same entry: a link can have an address twice, with two prefix lengths. */
const isSameAddress = (a: LinkAddress, b: LinkAddress): boolean => a.address === b.address && a.prefixLength === b.prefixLength;

const linkFields = ['name', 'index', 'up', 'running', 'mac', 'mtuBytes', 'kind', 'masterIndex', 'epoch'] as const satisfies readonly (keyof Link)[];
const sameLink = (a: Link | undefined, b: Link | undefined): boolean => a === b || (!!a && !!b && linkFields.every((field) => a[field] === b[field]));

const print = (a: LinkAddress): string => `${a.address}/${a.prefixLength} ${a.scope} ${a.tentative} ${a.noPrefixRoute} ${a.protocol}`;
/** Compares without regard to order: the kernel moves a changed address to the end. */
function sameAddresses(a: readonly LinkAddress[], b: readonly LinkAddress[]): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  const printed = new Set(a.map(print));
  return b.every((address) => printed.has(print(address)));
}
