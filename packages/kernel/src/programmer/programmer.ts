// Makes the kernel hold what is wanted of one kind of object, and leaves the others alone. The shell around diff.ts: it remembers what is wanted, what it saw
// the kernel accept, and what came into doubt since; its cost follows the change.
import { diff, type Kind, type Known, type Operation, type Step } from './diff.ts';
import type { Change, KernelTable, Refusal } from './table.ts';

/** The links by name, as `Links` (links/link.ts) has them. */
export interface Devices {
  link(name: string): { readonly index: number; readonly epoch: number } | undefined;
  nameOf(index: number): string | undefined;
}

/** A kind of object whose wanted form names its device. */
export interface WantedKind<Wanted, Held> extends Kind<Held> {
  /** One wanted object a key. */
  wantedKey(wanted: Wanted): string;
  deviceName(wanted: Wanted): string | undefined;
  place(wanted: Wanted, deviceIndex: number | undefined): Held;
}

/** Why something wanted is not in the kernel (OCCUPIED: what is somebody else's is in its place), or something unwanted still is. `key`: of what is wanted, or as the kernel has it. */
export type ProgrammingRefusal = {
  readonly key: string;
  readonly code: 'DEVICE_GONE' | 'DEVICE_DOWN' | 'OCCUPIED' | 'REFUSED';
  readonly errno?: string;
  readonly detail?: string;
};

/** `operations`: those that were sent. `compared`: the kernel was read. `refusals`: all that is not as wanted now. Each `apply` tries it again, except what waits for a link (DEVICE_…). */
export type ProgrammingReport = { readonly operations: number; readonly compared: boolean; readonly refusals: readonly ProgrammingRefusal[] };

export interface Programmer<Wanted> {
  /** Wanted from now on; takes the place of what has its key. */
  set(wanted: Wanted): void;
  /** No longer wanted. */
  remove(key: string): void;
  /** To be told of every name that `Links` says has changed. What hung on another epoch of the link is in doubt. */
  deviceChanged(name: string): void;
  /** Compare everything at the next `apply`, in one go: whenever in doubt about the whole. */
  distrust(): void;
  /**
   * Compares everything with the kernel, in slices between which the rest of the program (`apply`, too) has its turn: to be called periodically. What differs is
   * drift. While one runs, another does nothing. Throws when the kernel does not let itself be read.
   */
  audit(): Promise<void>;
  /** Whether `apply` may have something to do: also what was refused, which is worth another try after a pause. Not what waits for a link to appear or to go up. */
  readonly dirty: boolean;
  /** Makes the kernel's as wanted: what is wanted first, then away with the rest. Throws when it is not known what the kernel did; the next `apply` then reads it. */
  apply(): ProgrammingReport;
  /** Closes the table. What is in the kernel stays. */
  close(): void;
}

export type ProgrammerOptions<Wanted, Held> = {
  readonly kind: WantedKind<Wanted, Held>;
  readonly table: KernelTable<Held>;
  readonly devices: Devices;
  /** Which objects are ours, wanted or not: what is ours and not wanted goes, what is not ours is never touched. */
  readonly owns: (object: Held, deviceName: string | undefined) => boolean;
  /** Somebody else changed what is ours: there is something to apply. */
  readonly onDrift?: () => void;
};

const nothing = { ours: [], foreign: false, doubtful: false } as const;

/** A refusal by EXISTS leads to a reading, a reading to the right operations; more would be a race with somebody else, who gets the next turn. */
const roundsAtMost = 4;

export function programmer<Wanted, Held>({ kind, table, devices, owns, onDrift = () => undefined }: ProgrammerOptions<Wanted, Held>): Programmer<Wanted> {
  const wanted = new Map<string, Wanted>();
  const wantedOn = new Map<string, Set<string>>();
  /** The link that objects for a name were placed on, as it was told of last; as long as there is one. */
  const placedOn = new Map<string, { readonly index: number; readonly epoch: number }>();
  /** Where each wanted object belongs in the kernel, and whose each place is. */
  const placed = new Map<string, Held>();
  const claims = new Map<string, string>();
  const held = new Map<string, Known<Held>>();
  const heldOn = new Map<number, Set<string>>();
  const dirtyWanted = new Set<string>();
  /** Wanted on a link that is not there. */
  const unplaced = new Set<string>();
  const dirtyKeys = new Set<string>();
  /** Refused because of the state of a link: worth another try when that changes. */
  const waiting = new Map<string, ProgrammingRefusal>();
  let compareDue = true;
  /** While an audit reads: keys about which something became known, links that may have lost what hung on them. What it read of them may be older. */
  let reading: { readonly keys: Set<string>; readonly links: Set<number> } | undefined;

  function hold(key: string, known: Known<Held>): void {
    reading?.keys.add(key);
    for (const object of held.get(key)?.ours ?? []) dropFrom(heldOn, kind.deviceIndex(object), key);
    for (const object of known.ours) addTo(heldOn, kind.deviceIndex(object), key);
    if (known.ours.length > 0 || known.foreign || known.doubtful) held.set(key, known);
    else held.delete(key);
  }

  function doubt(key: string, present: readonly Held[] = []): void {
    const ours = held.get(key)?.ours ?? [];
    const more = present.filter((object) => !ours.some((one) => kind.same(one, object)));
    hold(key, { ours: [...ours, ...more], foreign: false, doubtful: true });
    dirtyKeys.add(key);
  }

  /** What hung on these links may be gone. */
  function loseFaithIn(indices: readonly (number | undefined)[]): void {
    for (const index of indices) {
      if (index === undefined) continue;
      reading?.links.add(index);
      for (const key of [...(heldOn.get(index) ?? [])]) doubt(key);
    }
  }

  /** Finds out where the wanted object belongs now. False: nowhere, since its link is not there. */
  function place(wantedKey: string): boolean {
    const before = placed.get(wantedKey);
    if (before !== undefined) {
      const key = kind.key(before);
      if (claims.get(key) === wantedKey) claims.delete(key);
      placed.delete(wantedKey);
      dirtyKeys.add(key);
    }
    const want = wanted.get(wantedKey);
    if (want === undefined) return true;
    const name = kind.deviceName(want);
    const link = name === undefined ? undefined : devices.link(name);
    if (name !== undefined && link === undefined) return false;
    if (name !== undefined && link !== undefined && !placedOn.has(name)) placedOn.set(name, link);
    const object = kind.place(want, link?.index);
    const key = kind.key(object);
    placed.set(wantedKey, object);
    claims.set(key, wantedKey);
    dirtyKeys.add(key);
    return true;
  }

  /** Reads the kernel and makes everything dirty. */
  function compare(): true {
    for (const wantedKey of wanted.keys()) dirtyWanted.add(wantedKey);
    placeDirty();
    const found = new Map<string, Known<Held>>();
    for (const object of table.read()) note(found, object);
    for (const key of new Set([...held.keys(), ...found.keys()])) {
      hold(key, found.get(key) ?? nothing);
      dirtyKeys.add(key);
    }
    compareDue = false;
    return true;
  }

  async function audit(): Promise<void> {
    if (compareDue || reading) return;
    const [news, flapped] = [new Set<string>(), new Set<number>()];
    reading = { keys: news, links: flapped };
    const found = new Map<string, Known<Held>>();
    try {
      await table.readInSlices((object) => note(found, object));
    } finally {
      reading = undefined;
    }
    if (compareDue) return; // it is known already that nothing is known
    const differing = [...new Set([...held.keys(), ...found.keys()])].filter(
      (key) => !news.has(key) && !sameKnown(held.get(key) ?? nothing, found.get(key) ?? nothing),
    );
    for (const key of differing) {
      const known = found.get(key) ?? nothing;
      hold(key, { ...known, doubtful: known.ours.some((object) => flapped.has(kind.deviceIndex(object) ?? -1)) });
      dirtyKeys.add(key);
    }
    if (differing.length > 0) onDrift();
  }

  /** Adds what was read to what was found. What is neither ours nor in the way is nothing to know. */
  function note(found: Map<string, Known<Held>>, object: Held): void {
    const key = kind.key(object);
    const ours = isOurs(object);
    if (!ours && !claims.has(key)) return;
    const known = found.get(key) ?? nothing;
    found.set(key, ours ? { ...known, ours: [...known.ours, object] } : { ...known, foreign: true });
  }

  const sameKnown = (a: Known<Held>, b: Known<Held>): boolean =>
    a.foreign === b.foreign &&
    a.doubtful === b.doubtful &&
    a.ours.length === b.ours.length &&
    a.ours.every((object, index) => kind.same(object, b.ours[index] as Held));

  function isOurs(object: Held): boolean {
    const index = kind.deviceIndex(object);
    return owns(object, index === undefined ? undefined : devices.nameOf(index));
  }

  function placeDirty(): void {
    for (const wantedKey of dirtyWanted) {
      if (place(wantedKey)) unplaced.delete(wantedKey);
      else unplaced.add(wantedKey);
    }
    dirtyWanted.clear();
  }

  const wantAt = (key: string): Held | undefined => {
    const wantedKey = claims.get(key);
    return wantedKey === undefined ? undefined : placed.get(wantedKey);
  };

  /** What came out of one `apply` so far. */
  type Outcome = {
    readonly refusals: Map<string, ProgrammingRefusal>;
    /** What is wanted under these keys was refused: it is not tried again in this `apply`. */
    readonly blocked: Set<string>;
    /** Something unknown was found under these keys, and the kernel is read because of it. */
    readonly surprises: Set<string>;
  };

  function apply(): ProgrammingReport {
    const outcome: Outcome = { refusals: new Map(), blocked: new Set(), surprises: new Set() };
    let operations = 0;
    let compared = false;
    for (let round = 0; round < roundsAtMost; round++) {
      if (compareDue) compared = compare();
      else placeDirty();
      const list = decide(outcome);
      operations += list.length;
      if (list.length > 0) commit(list, outcome);
      if (dirtyKeys.size === 0 && !compareDue) break;
    }
    for (const [key, refusal] of outcome.refusals) {
      if (refusal.code === 'DEVICE_GONE' || refusal.code === 'DEVICE_DOWN') waiting.set(key, refusal);
      else dirtyKeys.add(key);
    }
    const refusals = [...unplaced].map((key): ProgrammingRefusal => ({ key, code: 'DEVICE_GONE' }));
    for (const [key, refusal] of new Map([...outcome.refusals, ...waiting])) refusals.push({ ...refusal, key: claims.get(key) ?? key });
    return { operations, compared, refusals };
  }

  /** The operations for the dirty keys, what is wanted first. */
  function decide({ blocked }: Outcome): readonly Operation<Held>[] {
    const keys = [...dirtyKeys];
    dirtyKeys.clear();
    const puts: Operation<Held>[] = [];
    const deletions: Operation<Held>[] = [];
    for (const key of keys) {
      waiting.delete(key);
      const step = blocked.has(key) ? withoutStray(key) : diff(kind, held.get(key), wantAt(key));
      puts.push(...step.puts);
      deletions.push(...step.deletions);
      if (step.next === 'again') dirtyKeys.add(key);
      if (step.next === 'read') compareDue = true;
    }
    return [...puts, ...deletions];
  }

  /** What was refused is not there. What stands in its place for another device would lead packets astray; on the same device it is better than nothing. */
  function withoutStray(key: string): Step<Held> {
    const [known, want] = [held.get(key), wantAt(key)];
    const stray = known?.ours.filter((object) => want === undefined || kind.deviceIndex(object) !== kind.deviceIndex(want));
    return diff(kind, known && stray && { ...known, ours: stray }, undefined);
  }

  function commit(list: readonly Operation<Held>[], outcome: Outcome): void {
    let refused: Map<Operation<Held>, Refusal<Held>>;
    try {
      refused = new Map(table.commit(list).map((refusal) => [refusal.operation, refusal]));
    } catch (error) {
      compareDue = true;
      throw error;
    }
    for (const operation of list) advance(operation, refused.get(operation), outcome);
  }

  /** Notes what became of an operation. */
  function advance({ verb, object }: Operation<Held>, refusal: Refusal<Held> | undefined, { refusals, blocked, surprises }: Outcome): void {
    const key = kind.key(object);
    if (verb === 'delete') {
      if (refusal?.code === 'REFUSED') {
        refusals.set(key, explain(key, refusal));
        return;
      }
      const known = held.get(key);
      const left = (known?.ours ?? []).filter((one) => one !== object);
      hold(key, { ours: left, foreign: known?.foreign ?? false, doubtful: left.length > 0 && (known?.doubtful ?? false) });
    } else if (refusal === undefined) {
      hold(key, { ours: [object], foreign: false, doubtful: false });
    } else if (refusal.code === 'EXISTS' && !surprises.has(key) && !held.get(key)?.foreign) {
      surprises.add(key);
      compareDue = true;
    } else {
      refusals.set(key, explain(key, refusal));
      blocked.add(key);
      dirtyKeys.add(key);
    }
  }

  function onChanges(changes: readonly Change<Held>[]): void {
    let drift = false;
    for (const { is, object } of changes) {
      const key = kind.key(object);
      const known = held.get(key);
      const ours = is === 'present' && isOurs(object);
      if (!claims.has(key) && known === undefined && !ours) continue; // none of our business
      if (is === 'present' && known && !known.doubtful && isAsKnown(known, object, ours)) continue;
      doubt(key, ours ? [object] : []);
      drift = true;
    }
    if (drift) onDrift();
  }

  const isAsKnown = ({ ours, foreign }: Known<Held>, object: Held, isOne: boolean): boolean =>
    isOne ? ours.length === 1 && ours.every((one) => kind.same(one, object)) : foreign && ours.length === 0;

  const subscription = table.watch(onChanges, () => {
    compareDue = true;
    onDrift();
  });

  function set(want: Wanted): void {
    const key = kind.wantedKey(want);
    remove(key);
    wanted.set(key, want);
    addTo(wantedOn, kind.deviceName(want), key);
    dirtyWanted.add(key);
  }

  function remove(key: string): void {
    const before = wanted.get(key);
    if (before === undefined) return;
    const name = kind.deviceName(before);
    wanted.delete(key);
    dropFrom(wantedOn, name, key);
    dirtyWanted.add(key);
  }

  return {
    set,
    remove,
    deviceChanged(name) {
      const before = placedOn.get(name);
      const now = devices.link(name);
      if (!before || now?.index !== before.index || now.epoch !== before.epoch) loseFaithIn([before?.index, now?.index]);
      if (now && before) placedOn.set(name, now);
      if (!now) placedOn.delete(name);
      for (const key of wantedOn.get(name) ?? []) dirtyWanted.add(key);
    },
    distrust() {
      compareDue = true;
    },
    audit,
    get dirty() {
      return compareDue || dirtyWanted.size > 0 || dirtyKeys.size > 0;
    },
    apply,
    close() {
      subscription.close();
      table.close();
    },
  };
}

function explain<Held>(key: string, { code, errno, detail }: Refusal<Held>): ProgrammingRefusal {
  const printed = code === 'EXISTS' ? 'OCCUPIED' : code === 'ABSENT' ? 'REFUSED' : code;
  return { key, code: printed, errno, ...(detail === undefined ? {} : { detail }) };
}

function addTo<Key>(map: Map<Key, Set<string>>, at: Key | undefined, value: string): void {
  if (at === undefined) return;
  const set = map.get(at);
  if (set) set.add(value);
  else map.set(at, new Set([value]));
}

function dropFrom<Key>(map: Map<Key, Set<string>>, at: Key | undefined, value: string): void {
  if (at === undefined) return;
  const set = map.get(at);
  set?.delete(value);
  if (set?.size === 0) map.delete(at);
}
