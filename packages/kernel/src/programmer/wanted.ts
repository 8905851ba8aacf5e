// The desired objects of one kind, and each one's place in the kernel with the links as they are now. Pure: it does no I/O.
import type { Kind } from './diff.ts';
import { addTo, dropFrom } from './sets-by-key.ts';

/** The links by name, as `Links` (links/link.ts) has them. */
export interface Devices {
  link(name: string): { readonly index: number; readonly epoch: number } | undefined;
  nameOf(index: number): string | undefined;
}

/** A kind of object whose desired form names its device. */
export interface WantedKind<Wanted, Held> extends Kind<Held> {
  /** The desired object's key: there is one desired object for a key. */
  wantedKey(wanted: Wanted): string;
  deviceName(wanted: Wanted): string | undefined;
  place(wanted: Wanted, deviceIndex: number | undefined): Held;
  /** @throws RangeError for an object that no kernel accepts */
  check(wanted: Wanted): void;
}

/**
 * Desired objects are known by their own key, places by the kernel's key. Changes are only recorded, and take effect with `placeNoted`, so that many changes of one object cost no
 * more than one.
 */
export class WantedObjects<Wanted, Held> {
  readonly #kind: WantedKind<Wanted, Held>;
  readonly #devices: Devices;
  readonly #wanted = new Map<string, Wanted>();
  /** Keys of desired objects by the name of their device. */
  readonly #wantedOn = new Map<string, Set<string>>();
  /** The link that objects for a name were placed on, as last reported; absent when there is none. */
  readonly #placedOn = new Map<string, { readonly index: number; readonly epoch: number }>();
  /** The object as it should be in the kernel, by the desired object's key. */
  readonly #placed = new Map<string, Held>();
  /** The key of the desired object that a place belongs to, by the kernel's key. */
  readonly #claims = new Map<string, string>();
  /** Keys of desired objects that have to be placed (again). */
  readonly #noted = new Set<string>();
  /** Keys of desired objects whose link does not exist. */
  readonly #unplaced = new Set<string>();

  constructor(kind: WantedKind<Wanted, Held>, devices: Devices) {
    this.#kind = kind;
    this.#devices = devices;
  }

  /** Sets a desired object, and replaces the one with the same key. @throws RangeError for an object that no kernel accepts */
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

  /** Says that the link of this name may be another one now. Returns the indices of the links that may have lost their objects. */
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

  /** Places the recorded objects. @param touched gets the kernel's keys under which another object may be desired now */
  placeNoted(touched: Set<string>): void {
    for (const wantedKey of this.#noted) {
      if (this.#place(wantedKey, touched)) this.#unplaced.delete(wantedKey);
      else this.#unplaced.add(wantedKey);
    }
    this.#noted.clear();
  }

  /** Returns false when the object has no place, since its link does not exist. */
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

  /** The desired object under one of the kernel's keys. */
  at(key: string): Held | undefined {
    const wantedKey = this.#claims.get(key);
    return wantedKey === undefined ? undefined : this.#placed.get(wantedKey);
  }

  /** The key of the desired object whose place one of the kernel's keys is. */
  claimant(key: string): string | undefined {
    return this.#claims.get(key);
  }

  /** Keys of desired objects whose link does not exist. */
  get unplaced(): ReadonlySet<string> {
    return this.#unplaced;
  }
}
