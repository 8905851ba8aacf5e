// The IP sets that active rules use. Each distinct selector of addresses or named ports is one set, filled from the contributors that its selector matches.
import type { Cidr, IpAddress } from '@calico-openstack/addresses';
import { type IpSetChange, type IpSetId, type NamedPortMember, shortDigest } from '@calico-openstack/datamodel';
import type { Selector } from '../selector/canonical.ts';
import { type Contribution, type NamedPorts, namedPortKeys } from './contribution.ts';
import type { Placed } from './contributors.ts';
import { CountedMembers } from './counted-members.ts';
import type { Labelling } from './labels.ts';
import { Matching } from './matching.ts';

/** What an IP set holds: the addresses of everything that the selector matches, or, with `ports`, its ports of these names. */
export type IpSetContent = { readonly selector: Selector; readonly ports?: NamedPorts };

const idLength = 24;

class IpSet {
  readonly id: IpSetId;
  readonly content: IpSetContent;
  readonly members = new CountedMembers();
  uses = 0;
  told = false;

  constructor(id: IpSetId, content: IpSetContent) {
    this.id = id;
    this.content = content;
  }

  keysOf(contribution: Contribution): readonly string[] {
    return this.content.ports ? namedPortKeys(contribution, this.content.ports) : contribution.nets;
  }
}

/** The IP sets in use, by content. */
export class IpSets {
  readonly #sets = new Map<string, IpSet>();
  readonly #matching = new Matching<IpSet>();
  /** Sets that became used or unused, or whose members changed, since the last flush. */
  readonly #touched = new Set<IpSet>();

  get size(): number {
    return this.#sets.size;
  }

  /** How many distinct selectors the sets have, and how many of those require no label, so that no index serves them. */
  get selectorCounts(): { readonly selectors: number; readonly scanned: number } {
    return { selectors: this.#matching.selectorCount, scanned: this.#matching.scannedCount };
  }

  /** Counts one more user of the set with this content, and returns its id. Cost for a new set: the labellings that its selector may match. */
  acquire(content: IpSetContent): IpSetId {
    const text = contentText(content);
    let set = this.#sets.get(text);
    if (!set) {
      set = new IpSet(shortDigest(text, idLength) as IpSetId, content);
      this.#sets.set(text, set);
      this.#touched.add(set);
      this.#matching.addUser(content.selector, set);
      for (const labelling of this.#matching.labellingsOf(content.selector)) {
        for (const carrier of labelling.carriers) for (const key of set.keysOf(carrier)) set.members.add(key);
      }
    }
    set.uses += 1;
    return set.id;
  }

  /** Counts one user less. The next flush removes a set without users; a set that passes from one user to another stays. */
  release(content: IpSetContent): void {
    const set = this.#sets.get(contentText(content))!;
    set.uses -= 1;
    if (set.uses === 0) this.#touched.add(set);
  }

  /** See ContributorsListener. */
  labellingAppeared(labelling: Labelling): void {
    this.#matching.addLabelling(labelling);
  }

  /** See ContributorsListener. */
  labellingDisappeared(labelling: Labelling): void {
    this.#matching.removeLabelling(labelling);
  }

  /** See ContributorsListener. */
  contributionChanged(before: Placed | undefined, after: Placed | undefined): void {
    if (before && after && before.labelling === after.labelling) {
      const [left, came] = [without(before.nets, after.nets), without(after.nets, before.nets)];
      for (const set of this.#matching.usersOf(after.labelling)) {
        if (set.content.ports) this.#exchange(set, set.keysOf(before), set.keysOf(after));
        else if (left.length + came.length > 0) this.#exchange(set, left, came);
      }
      return;
    }
    // Members are added before others are removed, so that a member that stays in a set always has a contributor.
    if (after) for (const set of this.#matching.usersOf(after.labelling)) this.#exchange(set, [], set.keysOf(after));
    if (before) for (const set of this.#matching.usersOf(before.labelling)) this.#exchange(set, set.keysOf(before), []);
  }

  /** What changed since the last flush. */
  flush(): Map<IpSetId, IpSetChange> {
    const changes = new Map<IpSetId, IpSetChange>();
    for (const set of this.#touched) {
      if (set.uses === 0) {
        this.#matching.removeUser(set.content.selector, set);
        this.#sets.delete(contentText(set.content));
        if (set.told) changes.set(set.id, { change: 'removed' });
        continue;
      }
      set.told = true;
      const taken = set.members.take();
      if (taken) changes.set(set.id, set.content.ports ? namedPortsChange(taken) : addressesChange(taken));
    }
    this.#touched.clear();
    return changes;
  }

  #exchange(set: IpSet, before: readonly string[], after: readonly string[]): void {
    for (const key of after) set.members.add(key);
    for (const key of before) set.members.remove(key);
    this.#touched.add(set);
  }
}

/** The entries of the first list that are not in the second. A network set may have a hundred thousand entries of which one changed. */
function without(first: readonly string[], second: readonly string[]): readonly string[] {
  const others = new Set(second);
  return first.filter((one) => !others.has(one));
}

/** The identity of a set as text. It is unambiguous, because names of ports contain no blanks and no commas. */
function contentText({ selector, ports }: IpSetContent): string {
  return ports ? `named-ports ${[...ports.names].join()} ${ports.protocol ?? 'any'} ${selector.text}` : `addresses ${selector.text}`;
}

type Taken = NonNullable<ReturnType<CountedMembers['take']>>;

function addressesChange(taken: Taken): IpSetChange {
  if (taken instanceof Set) return { change: 'whole', kind: 'addresses', members: taken as ReadonlySet<Cidr> };
  const { added, removed } = taken as { added: readonly Cidr[]; removed: readonly Cidr[] };
  return { change: 'members', kind: 'addresses', added, removed };
}

function namedPortsChange(taken: Taken): IpSetChange {
  if (taken instanceof Set) return { change: 'whole', kind: 'named-ports', members: [...taken].map(namedPortMember) };
  const { added, removed } = taken as { added: readonly string[]; removed: readonly string[] };
  return { change: 'members', kind: 'named-ports', added: added.map(namedPortMember), removed: removed.map(namedPortMember) };
}

function namedPortMember(key: string): NamedPortMember {
  const [address, protocol, port] = key.split(',');
  return { address: address as IpAddress, protocol: Number(protocol), port: Number(port) };
}
