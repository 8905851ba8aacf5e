// Makes the kernel hold the desired objects of one kind, and leaves other programs' objects alone. The shell around diff.ts, the desired objects (wanted.ts) and what is known of
// the kernel (known.ts): it decides which keys to compare, so its cost follows the change.
import { diff, type Known, type Operation, type Step } from './diff.ts';
import { KnownObjects, nothingKnown } from './known.ts';
import type { Change, KernelTable, Refusal } from './table.ts';
import { type Devices, type WantedKind, WantedObjects } from './wanted.ts';

export type { Devices, WantedKind } from './wanted.ts';

/**
 * Why a desired object is not in the kernel, or a stale one still is. OCCUPIED: another program's object is in its place. `key` is the desired object's, or the kernel's for a stale
 * one.
 */
export type ProgrammingRefusal = {
  readonly key: string;
  readonly code: 'DEVICE_GONE' | 'DEVICE_DOWN' | 'OCCUPIED' | 'REFUSED';
  readonly errno?: string;
  readonly detail?: string;
};

/**
 * The result of an `apply`. `operations` counts the operations sent; `compared` is true when the kernel was read; `refusals` lists every object that is not as desired now. Each `apply`
 * retries these objects, except those that wait for a link (DEVICE_…).
 */
export type ProgrammingReport = { readonly operations: number; readonly compared: boolean; readonly refusals: readonly ProgrammingRefusal[] };

/** Keeps one kind of object in the kernel as desired. */
export interface Programmer<Wanted> {
  /** Adds a desired object, or replaces the one with the same key. */
  set(wanted: Wanted): void;
  /** Removes a desired object by its key. */
  remove(key: string): void;
  /** Must be called with every link name that `Links` reports as changed. Objects programmed under another epoch of the link are in doubt. */
  deviceChanged(name: string): void;
  /** Says that the kernel may have dropped objects of this link without reporting it, although the link is the same. The next `apply` creates them again. */
  doubtDevice(name: string): void;
  /** Makes the next `apply` compare everything at once: for doubts about the whole. */
  distrust(): void;
  /**
   * Compares everything with the kernel, in slices between which the rest of the program (also `apply`) runs; to be called periodically. Differences count as drift. A second call does
   * nothing while one runs. Throws when the kernel cannot be read.
   */
  audit(): Promise<void>;
  /** Whether `apply` may have something to do. That includes refused objects, which are worth a retry after a pause, but not those that wait for a link to appear or to go up. */
  readonly dirty: boolean;
  /** Installs the desired objects first, then deletes stale ones. Throws when it is unknown what the kernel did; the next `apply` reads the kernel then. */
  apply(): ProgrammingReport;
  /** Closes the table. The kernel's objects stay. */
  close(): void;
}

/** The kind of object, the kernel's table and the links. */
export type ProgrammerOptions<Wanted, Held> = {
  readonly kind: WantedKind<Wanted, Held>;
  readonly table: KernelTable<Held>;
  readonly devices: Devices;
  /** Whether an object is ours. Our objects that are not desired are deleted; those of other programs are never touched. */
  readonly owns: (object: Held, deviceName: string | undefined) => boolean;
  /** Called when another program changed our objects: `apply` has something to do. */
  readonly onDrift?: () => void;
};

/** The most rounds of one `apply`. A refusal with EXISTS leads to a reading, and a reading to the right operations; more rounds are a race with another program, left to the next. */
const roundsAtMost = 4;

/** Creates a `Programmer`. It watches the table from this call on. */
export function programmer<Wanted, Held>(options: ProgrammerOptions<Wanted, Held>): Programmer<Wanted> {
  return new ObjectProgrammer(options);
}

/** The results of one `apply` so far. */
type Outcome = {
  readonly refusals: Map<string, ProgrammingRefusal>;
  /** The keys whose desired objects were refused: they are not retried in this `apply`. */
  readonly blocked: Set<string>;
  /** The keys under which something unknown was found: the kernel is read because of them. */
  readonly surprises: Set<string>;
};

class ObjectProgrammer<Wanted, Held> implements Programmer<Wanted> {
  readonly #kind: WantedKind<Wanted, Held>;
  readonly #table: KernelTable<Held>;
  readonly #devices: Devices;
  readonly #owns: ProgrammerOptions<Wanted, Held>['owns'];
  readonly #onDrift: () => void;
  readonly #wanted: WantedObjects<Wanted, Held>;
  readonly #known: KnownObjects<Held>;
  /** The kernel's keys under which the desired and the known objects may differ. */
  readonly #dirtyKeys = new Set<string>();
  /** Objects refused because of the state of a link: they are retried when that changes. */
  readonly #waiting = new Map<string, ProgrammingRefusal>();
  readonly #subscription: { close(): void };
  #compareDue = true;

  constructor({ kind, table, devices, owns, onDrift = () => undefined }: ProgrammerOptions<Wanted, Held>) {
    this.#kind = kind;
    this.#table = table;
    this.#devices = devices;
    this.#owns = owns;
    this.#onDrift = onDrift;
    this.#wanted = new WantedObjects(kind, devices);
    this.#known = new KnownObjects(kind);
    this.#subscription = table.watch(
      (changes) => this.#noteChanges(changes),
      () => {
        this.#compareDue = true;
        this.#onDrift();
      },
    );
  }

  set(want: Wanted): void {
    this.#wanted.set(want);
  }

  remove(key: string): void {
    this.#wanted.remove(key);
  }

  deviceChanged(name: string): void {
    for (const index of this.#wanted.deviceChanged(name)) for (const key of this.#known.loseFaithIn(index)) this.#dirtyKeys.add(key);
  }

  doubtDevice(name: string): void {
    const link = this.#devices.link(name);
    if (link) for (const key of this.#known.loseFaithIn(link.index)) this.#dirtyKeys.add(key);
  }

  distrust(): void {
    this.#compareDue = true;
  }

  get dirty(): boolean {
    return this.#compareDue || this.#wanted.hasNoted || this.#dirtyKeys.size > 0;
  }

  close(): void {
    this.#subscription.close();
    this.#table.close();
  }

  async audit(): Promise<void> {
    if (this.#compareDue || this.#known.isAudited) return;
    const reading = this.#known.beginAudit();
    try {
      await this.#table.readInSlices((object) => this.#addTo(reading.found, object));
    } finally {
      this.#known.endAudit();
    }
    if (this.#compareDue) return; // it is known already that nothing is known
    const differing = this.#known.takeOver(reading);
    for (const key of differing) this.#dirtyKeys.add(key);
    if (differing.length > 0) this.#onDrift();
  }

  apply(): ProgrammingReport {
    const outcome: Outcome = { refusals: new Map(), blocked: new Set(), surprises: new Set() };
    let operations = 0;
    let compared = false;
    for (let round = 0; round < roundsAtMost; round++) {
      if (this.#compareDue) compared = this.#compare();
      else this.#wanted.placeNoted(this.#dirtyKeys);
      const list = this.#decide(outcome);
      operations += list.length;
      if (list.length > 0) this.#commit(list, outcome);
      if (this.#dirtyKeys.size === 0 && !this.#compareDue) break;
    }
    return { operations, compared, refusals: this.#conclude(outcome) };
  }

  /** Reads the kernel and marks every key as dirty. */
  #compare(): true {
    this.#wanted.noteAll();
    this.#wanted.placeNoted(this.#dirtyKeys);
    const found = new Map<string, Known<Held>>();
    for (const object of this.#table.read()) this.#addTo(found, object);
    for (const key of this.#known.replace(found)) this.#dirtyKeys.add(key);
    this.#compareDue = false;
    return true;
  }

  /** Adds an object to what was found, if it is ours or has the key of a desired one. */
  #addTo(found: Map<string, Known<Held>>, object: Held): void {
    const key = this.#kind.key(object);
    const ours = this.#isOurs(object);
    if (!ours && this.#wanted.claimant(key) === undefined) return;
    const known = found.get(key) ?? nothingKnown;
    found.set(key, ours ? { ...known, ours: [...known.ours, object] } : { ...known, foreign: true });
  }

  #isOurs(object: Held): boolean {
    const index = this.#kind.deviceIndex(object);
    return this.#owns(object, index === undefined ? undefined : this.#devices.nameOf(index));
  }

  /** The operations for the dirty keys, those for desired objects first. */
  #decide({ blocked }: Outcome): readonly Operation<Held>[] {
    const keys = [...this.#dirtyKeys];
    this.#dirtyKeys.clear();
    const puts: Operation<Held>[] = [];
    const deletions: Operation<Held>[] = [];
    for (const key of keys) {
      this.#waiting.delete(key);
      const step = blocked.has(key) ? this.#withoutStray(key) : diff(this.#kind, this.#known.get(key), this.#wanted.at(key));
      puts.push(...step.puts);
      deletions.push(...step.deletions);
      if (step.next === 'again') this.#dirtyKeys.add(key);
      if (step.next === 'read') this.#compareDue = true;
    }
    return [...puts, ...deletions];
  }

  /** The deletions when a desired object was refused. An object in its place on another device would misdirect packets; on the same device it is better than nothing. */
  #withoutStray(key: string): Step<Held> {
    const [known, want] = [this.#known.get(key), this.#wanted.at(key)];
    const stray = known?.ours.filter((object) => want === undefined || this.#kind.deviceIndex(object) !== this.#kind.deviceIndex(want));
    return diff(this.#kind, known && stray && { ...known, ours: stray }, undefined);
  }

  #commit(list: readonly Operation<Held>[], outcome: Outcome): void {
    let refused: Map<Operation<Held>, Refusal<Held>>;
    try {
      refused = new Map(this.#table.commit(list).map((refusal) => [refusal.operation, refusal]));
    } catch (error) {
      this.#compareDue = true;
      throw error;
    }
    for (const operation of list) this.#advance(operation, refused.get(operation), outcome);
  }

  /** Records the result of an operation. */
  #advance({ verb, object }: Operation<Held>, refusal: Refusal<Held> | undefined, { refusals, blocked, surprises }: Outcome): void {
    const key = this.#kind.key(object);
    if (verb === 'delete') {
      if (refusal?.code === 'REFUSED') {
        refusals.set(key, explain(key, refusal));
        return;
      }
      const known = this.#known.get(key);
      const left = (known?.ours ?? []).filter((one) => one !== object);
      this.#known.hold(key, { ours: left, foreign: known?.foreign ?? false, doubtful: left.length > 0 && (known?.doubtful ?? false) });
    } else if (refusal === undefined) {
      this.#known.hold(key, { ours: [object], foreign: false, doubtful: false });
    } else if (refusal.code === 'EXISTS' && !surprises.has(key) && !this.#known.get(key)?.foreign) {
      surprises.add(key);
      this.#compareDue = true;
    } else {
      refusals.set(key, explain(key, refusal));
      blocked.add(key);
      this.#dirtyKeys.add(key);
    }
  }

  /** Returns the refusals of an `apply`. Those that a link causes wait for that link; the others stay dirty. */
  #conclude(outcome: Outcome): readonly ProgrammingRefusal[] {
    for (const [key, refusal] of outcome.refusals) {
      if (refusal.code === 'DEVICE_GONE' || refusal.code === 'DEVICE_DOWN') this.#waiting.set(key, refusal);
      else this.#dirtyKeys.add(key);
    }
    const refusals = [...this.#wanted.unplaced].map((key): ProgrammingRefusal => ({ key, code: 'DEVICE_GONE' }));
    for (const [key, refusal] of new Map([...outcome.refusals, ...this.#waiting])) refusals.push({ ...refusal, key: this.#wanted.claimant(key) ?? key });
    return refusals;
  }

  #noteChanges(changes: readonly Change<Held>[]): void {
    let drift = false;
    for (const { is, object } of changes) {
      const key = this.#kind.key(object);
      const known = this.#known.get(key);
      const ours = is === 'present' && this.#isOurs(object);
      if (this.#wanted.claimant(key) === undefined && known === undefined && !ours) continue; // none of our business
      if (is === 'present' && known && !known.doubtful && this.#isAsKnown(known, object, ours)) continue;
      this.#known.doubt(key, ours ? [object] : []);
      this.#dirtyKeys.add(key);
      drift = true;
    }
    if (drift) this.#onDrift();
  }

  #isAsKnown({ ours, foreign }: Known<Held>, object: Held, isOne: boolean): boolean {
    return isOne ? ours.length === 1 && ours.every((one) => this.#kind.same(one, object)) : foreign && ours.length === 0;
  }
}

function explain<Held>(key: string, { code, errno, detail }: Refusal<Held>): ProgrammingRefusal {
  const printed = code === 'EXISTS' ? 'OCCUPIED' : code === 'ABSENT' ? 'REFUSED' : code;
  return { key, code: printed, errno, ...(detail === undefined ? {} : { detail }) };
}
