// Links in memory, as strict as the kernel: the same refusals, the same losses when a link goes down.
import { familyOf } from '@calico-openstack/addresses';
import { isInterfaceName, type LinkAddress, type LinkEditor, type LinkEvent, type LinkFacts, type LinkRefusal, type LinkSource, type Links } from './link.ts';
import { linksFrom } from './links.ts';

/** The kernel behind fake links, as other programs see it. */
export interface FakeLinkKernel {
  readonly links: ReadonlyMap<number, LinkFacts>;
  /** Adds a link as another program would. Returns its index: the given one, else the next free one. */
  add(name: string, facts?: Partial<Omit<LinkFacts, 'name'>>): number;
  change(index: number, facts: Partial<Omit<LinkFacts, 'index'>>): void;
  remove(index: number): void;
  /** Called with links that went down or away, before any event: their routes and neighbours are lost without an event. */
  readonly dropped: Set<(index: number) => void>;
  /** Called with links that lost their last IPv4 address, before any event: their IPv4 routes are lost without an event. */
  readonly lostLastIpv4: Set<(index: number) => void>;
  /** Delivers pending events to the watchers now. */
  deliver(): void;
  /** Drops pending events, as the kernel does when nobody reads them; the watchers' `onLost` is called. */
  loseEvents(): void;
  /** Errors that the next readings throw, one each. */
  readonly failures: Error[];
}

/**
 * A fake kernel with its links. Links of `kinds` can be created. Events arrive in the next microtask, or with `deliverBy: 'hand'` when `deliver` is called. It is longer than 80 lines because
 * the kernel, its events and the calls that change it use the same few maps.
 */
export function fakeLinks(
  options: { readonly kinds?: readonly string[]; readonly deliverBy?: 'itself' | 'hand' } = {},
): Links & LinkEditor & { kernel: FakeLinkKernel } {
  const { kinds = ['dummy', 'ifb'], deliverBy = 'itself' } = options;
  const facts = new Map<number, LinkFacts>();
  const addresses = new Map<number, LinkAddress[]>();
  const dropped = new Set<(index: number) => void>();
  const lostLastIpv4 = new Set<(index: number) => void>();
  const failures: Error[] = [];
  let lastIndex = 0;
  let waiting: LinkEvent[] = [];
  let watcher: { onEvents(events: readonly LinkEvent[]): void; onLost(): void } | undefined;

  function happen(...events: readonly LinkEvent[]): void {
    waiting.push(...events);
    if (deliverBy === 'itself' && waiting.length === events.length) queueMicrotask(deliver);
  }

  function deliver(): void {
    const events = waiting;
    waiting = [];
    if (events.length > 0) watcher?.onEvents(events);
  }

  function drop(index: number): void {
    for (const tell of dropped) tell(index);
  }

  const kernel: FakeLinkKernel = {
    links: facts,
    dropped,
    lostLastIpv4,
    failures,
    deliver,
    add(name, given = {}) {
      const index = given.index ?? lastIndex + 1;
      lastIndex = Math.max(lastIndex, index);
      const link = { name, up: false, running: false, mac: undefined, mtuBytes: 1500, kind: undefined, masterIndex: undefined, ...given, index };
      facts.set(index, link);
      happen({ event: 'link', link });
      return index;
    },
    change(index, change) {
      const was = facts.get(index);
      if (!was) throw new RangeError(`there is no link ${index}`);
      const link = { ...was, ...change };
      facts.set(index, link);
      if (was.up && !link.up) {
        drop(index);
        for (const address of addresses.get(index) ?? []) if (address.family === 6) takeAddress(index, address);
      }
      happen({ event: 'link', link });
    },
    remove(index) {
      for (const address of addresses.get(index) ?? []) takeAddress(index, address);
      facts.delete(index);
      addresses.delete(index);
      drop(index);
      happen({ event: 'gone', index });
    },
    loseEvents() {
      waiting = [];
      watcher?.onLost();
    },
  };

  function takeAddress(index: number, address: LinkAddress): void {
    addresses.set(
      index,
      (addresses.get(index) ?? []).filter((other) => other !== address),
    );
    if (address.family === 4 && !addresses.get(index)!.some(({ family }) => family === 4)) for (const tell of lostLastIpv4) tell(index);
    happen({ event: 'address-gone', index, address });
  }

  const source: LinkSource = {
    read() {
      const failure = failures.shift();
      if (failure) throw failure;
      return { links: [...facts.values()], addresses: [...addresses].flatMap(([index, list]) => list.map((address) => ({ index, address }))) };
    },
    watch(onEvents, onLost) {
      watcher = { onEvents, onLost };
      return {
        close() {
          watcher = undefined;
        },
      };
    },
    nameOf: (index) => facts.get(index)?.name,
    close: () => undefined,
  };

  const find = (name: string): LinkFacts | undefined => [...facts.values()].find((link) => link.name === name);
  const refused = (code: string): LinkRefusal => ({ code });

  const editor: LinkEditor = {
    createLink(name, kind) {
      if (!isInterfaceName(name)) return refused('EINVAL');
      if (find(name)) return refused('EEXIST');
      if (!kinds.includes(kind)) return refused('EOPNOTSUPP');
      kernel.add(name, { kind, mac: '02:00:00:00:00:01' });
      return undefined;
    },
    removeLink(name) {
      const link = find(name);
      if (!link) return refused('ENODEV');
      kernel.remove(link.index);
      return undefined;
    },
    indexOf: (name) => find(name)?.index,
    setLink(name, { up, mtuBytes, mac, name: newName }) {
      const link = find(name);
      if (newName !== undefined && !isInterfaceName(newName)) return refused('EINVAL');
      if (!link) return refused('ENODEV');
      if (newName !== undefined && newName !== name && find(newName)) return refused('EEXIST');
      if (mac !== undefined && link.kind === 'ifb') return refused('EOPNOTSUPP');
      kernel.change(link.index, {
        ...(up === undefined ? {} : { up, running: up }),
        ...(mtuBytes === undefined ? {} : { mtuBytes }),
        ...(mac === undefined ? {} : { mac }),
        ...(newName === undefined ? {} : { name: newName }),
      });
      return undefined;
    },
    addAddress(name, address, prefixLength, { noPrefixRoute = false, scope = 0, protocol } = {}) {
      const link = find(name);
      if (!link) return refused('ENODEV');
      const list = addresses.get(link.index) ?? [];
      if (list.some((other) => other.address === address && other.prefixLength === prefixLength)) return refused('EEXIST');
      const added = { family: familyOf(address), address, prefixLength, scope, tentative: false, noPrefixRoute, ...(protocol !== undefined && { protocol }) };
      addresses.set(link.index, [...list, added]);
      happen({ event: 'address', index: link.index, address: added });
      return undefined;
    },
    removeAddress(name, address, prefixLength) {
      const link = find(name);
      if (!link) return refused('ENODEV');
      const found = addresses.get(link.index)?.find((other) => other.address === address && other.prefixLength === prefixLength);
      if (!found) return refused('EADDRNOTAVAIL');
      takeAddress(link.index, found);
      return undefined;
    },
  };

  kernel.add('lo', { mac: '00:00:00:00:00:00', mtuBytes: 65_536 });
  waiting = [];
  const transient = { isTransient: (error: unknown) => error instanceof Error && error.message === 'interrupted', later: queueMicrotask };
  return { ...linksFrom(source, transient), ...editor, kernel };
}
