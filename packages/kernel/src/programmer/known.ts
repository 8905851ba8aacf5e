// Remembers what the kernel holds of one kind of object, by the kernel's key, and what of that is in doubt. Pure: it does no I/O.
import type { Kind, Known } from './diff.ts';
import { addTo, dropFrom } from './sets-by-key.ts';

/** The state of a key under which the kernel holds nothing. */
export const nothingKnown = { ours: [], foreign: false, doubtful: false } as const;

/** What an audit has read so far, and what became known meanwhile: for these keys the audit's reading may be older. */
export type AuditReading<Held> = {
  readonly found: Map<string, Known<Held>>;
  /** The keys whose state became known during the audit. */
  readonly news: Set<string>;
  /** The indices of links that may have lost their objects during the audit. */
  readonly flapped: Set<number>;
};

/** The known objects of one kind. */
export class KnownObjects<Held> {
  readonly #kind: Kind<Held>;
  readonly #held = new Map<string, Known<Held>>();
  /** Keys by the index of the link that their objects belong to. */
  readonly #heldOn = new Map<number, Set<string>>();
  #audit: AuditReading<Held> | undefined;

  constructor(kind: Kind<Held>) {
    this.#kind = kind;
  }

  get(key: string): Known<Held> | undefined {
    return this.#held.get(key);
  }

  /** Sets what is known under the key. */
  hold(key: string, known: Known<Held>): void {
    this.#audit?.news.add(key);
    for (const object of this.#held.get(key)?.ours ?? []) dropFrom(this.#heldOn, this.#kind.deviceIndex(object), key);
    for (const object of known.ours) addTo(this.#heldOn, this.#kind.deviceIndex(object), key);
    if (known.ours.length > 0 || known.foreign || known.doubtful) this.#held.set(key, known);
    else this.#held.delete(key);
  }

  /** Marks what is known under the key as possibly stale. @param present our objects that were reported there */
  doubt(key: string, present: readonly Held[] = []): void {
    const ours = this.#held.get(key)?.ours ?? [];
    const more = present.filter((object) => !ours.some((one) => this.#kind.same(one, object)));
    this.hold(key, { ours: [...ours, ...more], foreign: false, doubtful: true });
  }

  /** Marks the objects of a link as possibly gone. Returns the keys that are in doubt because of it. */
  loseFaithIn(deviceIndex: number): readonly string[] {
    this.#audit?.flapped.add(deviceIndex);
    const keys = [...(this.#heldOn.get(deviceIndex) ?? [])];
    for (const key of keys) this.doubt(key);
    return keys;
  }

  /** Replaces everything by a reading of the whole kernel. Returns all keys under which something is or was held. */
  replace(found: ReadonlyMap<string, Known<Held>>): ReadonlySet<string> {
    const keys = this.#keysOf(found);
    for (const key of keys) this.hold(key, found.get(key) ?? nothingKnown);
    return keys;
  }

  get isAudited(): boolean {
    return this.#audit !== undefined;
  }

  beginAudit(): AuditReading<Held> {
    this.#audit = { found: new Map(), news: new Set(), flapped: new Set() };
    return this.#audit;
  }

  endAudit(): void {
    this.#audit = undefined;
  }

  /**
   * Takes over what an audit has found and no event had reported. Keys that became known during the audit are left as they are. The objects of a link that went down or away
   * meanwhile may have been read before that, so they are in doubt. Returns the keys that differed.
   */
  takeOver({ found, news, flapped }: AuditReading<Held>): readonly string[] {
    const differing = [...this.#keysOf(found)].filter(
      (key) => !news.has(key) && !this.#isSame(this.#held.get(key) ?? nothingKnown, found.get(key) ?? nothingKnown),
    );
    for (const key of differing) {
      const known = found.get(key) ?? nothingKnown;
      this.hold(key, { ...known, doubtful: known.ours.some((object) => flapped.has(this.#kind.deviceIndex(object) ?? -1)) });
    }
    return differing;
  }

  #keysOf(found: ReadonlyMap<string, Known<Held>>): ReadonlySet<string> {
    return new Set([...this.#held.keys(), ...found.keys()]);
  }

  #isSame(a: Known<Held>, b: Known<Held>): boolean {
    return (
      a.foreign === b.foreign &&
      a.doubtful === b.doubtful &&
      a.ours.length === b.ours.length &&
      a.ours.every((object, index) => this.#kind.same(object, b.ours[index] as Held))
    );
  }
}
