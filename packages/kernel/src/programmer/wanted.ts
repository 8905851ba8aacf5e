// What is wanted of one kind of object, and where each of it belongs in the kernel as the links are now. Pure: the kernel is not touched.
import type { Kind } from './diff.ts';
import { addTo, dropFrom } from './sets-by-key.ts';

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
  /** @throws RangeError for a value that the kernel could not be asked for */
  check(wanted: Wanted): void;
}

/**
 * Wanted objects are known by their wanted key, places by the kernel's key. Whatever changes here is noted, and takes effect with `placeNoted`, so that many changes of one
 * object cost no more than one.
 */
export class WantedObjects<Wanted, Held> {
  readonly #kind: WantedKind<Wanted, Held>;
  readonly #devices: Devices;
  readonly #wanted = new Map<string, Wanted>();
  /** Wanted keys by the name of their device. */
  readonly #wantedOn = new Map<string, Set<string>>();
  /** The link that objects for a name were placed on, as it was last reported; as long as there is one. */
  readonly #placedOn = new Map<string, { readonly index: number; readonly epoch: number }>();
  /** By wanted key, the object as it is to be in the kernel. */
  readonly #placed = new Map<string, Held>();
  /** By the kernel's key, the wanted key whose place it is. */
  readonly #claims = new Map<string, string>();
  /** Wanted keys that have to be placed (again). */
  readonly #noted = new Set<string>();
  /** Wanted on a link that is not there. */
  readonly #unplaced = new Set<string>();

  constructor(kind: WantedKind<Wanted, Held>, devices: Devices) {
    this.#kind = kind;
    this.#devices = devices;
  }

  /** Takes the place of what has its key. @throws RangeError for a value that the kernel could not be asked for */
  set(want: Wanted): void {
    this.#kind.check(want);
    const key = this.#kind.wantedKey(want);
    this.remove(key);
    this.#wanted.set(key, want);
    addTo(this.#wantedOn, this.#kind.deviceName(want), key);
    this.#noted.add(key);
  }

  remove(key: string): void {
    const before = this.#wanted.get(key);
    if (before === undefined) return;
    this.#wanted.delete(key);
    dropFrom(this.#wantedOn, this.#kind.deviceName(before), key);
    this.#noted.add(key);
  }

  noteAll(): void {
    for (const key of this.#wanted.keys()) this.#noted.add(key);
  }

  /** The link of this name may be another now. Returns the indices of the links that may have lost what hung on them. */
  deviceChanged(name: string): readonly number[] {
    const before = this.#placedOn.get(name);
    const now = this.#devices.link(name);
    const isSame = before !== undefined && now?.index === before.index && now.epoch === before.epoch;
    if (now && before) this.#placedOn.set(name, now);
    if (!now) this.#placedOn.delete(name);
    for (const key of this.#wantedOn.get(name) ?? []) this.#noted.add(key);
    return isSame ? [] : [before?.index, now?.index].filter((index) => index !== undefined);
  }

  get hasNoted(): boolean {
    return this.#noted.size > 0;
  }

  /** Places what was noted. @param touched gets the kernel's keys under which something else may be wanted now */
  placeNoted(touched: Set<string>): void {
    for (const wantedKey of this.#noted) {
      if (this.#place(wantedKey, touched)) this.#unplaced.delete(wantedKey);
      else this.#unplaced.add(wantedKey);
    }
    this.#noted.clear();
  }

  /** False: it belongs nowhere, since its link is not there. */
  #place(wantedKey: string, touched: Set<string>): boolean {
    const before = this.#placed.get(wantedKey);
    if (before !== undefined) {
      const key = this.#kind.key(before);
      if (this.#claims.get(key) === wantedKey) this.#claims.delete(key);
      this.#placed.delete(wantedKey);
      touched.add(key);
    }
    const want = this.#wanted.get(wantedKey);
    if (want === undefined) return true;
    const name = this.#kind.deviceName(want);
    const link = name === undefined ? undefined : this.#devices.link(name);
    if (name !== undefined && link === undefined) return false;
    if (name !== undefined && link !== undefined && !this.#placedOn.has(name)) this.#placedOn.set(name, link);
    const object = this.#kind.place(want, link?.index);
    const key = this.#kind.key(object);
    this.#placed.set(wantedKey, object);
    this.#claims.set(key, wantedKey);
    touched.add(key);
    return true;
  }

  /** What is wanted under a key of the kernel's. */
  at(key: string): Held | undefined {
    const wantedKey = this.#claims.get(key);
    return wantedKey === undefined ? undefined : this.#placed.get(wantedKey);
  }

  /** The wanted key whose place a key of the kernel's is. */
  claimant(key: string): string | undefined {
    return this.#claims.get(key);
  }

  /** Wanted keys whose link is not there. */
  get unplaced(): ReadonlySet<string> {
    return this.#unplaced;
  }
}
