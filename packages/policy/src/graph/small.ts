// A map and a set that mostly hold one entry, of which a large cluster has tens of thousands. One entry stands in the object itself; an empty Map or Set takes 180 bytes.

/** A map. No value is undefined. */
export class SmallMap<Key, Value> {
  #key: Key | undefined;
  #value: Value | undefined;
  /** All entries, as soon as there is a second. */
  #all: Map<Key, Value> | undefined;

  get size(): number {
    if (this.#all) return this.#all.size;
    return this.#value === undefined ? 0 : 1;
  }

  get(key: Key): Value | undefined {
    if (this.#all) return this.#all.get(key);
    return this.#key === key ? this.#value : undefined;
  }

  set(key: Key, value: Value): this {
    if (this.#all) this.#all.set(key, value);
    else if (this.#value === undefined || this.#key === key) [this.#key, this.#value] = [key, value];
    else {
      this.#all = new Map<Key, Value>().set(this.#key!, this.#value).set(key, value);
      [this.#key, this.#value] = [undefined, undefined];
    }
    return this;
  }

  delete(key: Key): boolean {
    if (this.#all) return this.#all.delete(key);
    if (this.#value === undefined || this.#key !== key) return false;
    [this.#key, this.#value] = [undefined, undefined];
    return true;
  }

  /** The values, in the order in which they were set. */
  values(): Iterable<Value> {
    if (this.#all) return this.#all.values();
    return this.#value === undefined ? [] : [this.#value];
  }
}

/** A set. No entry is undefined. */
export class SmallSet<Entry> implements Iterable<Entry> {
  #only: Entry | undefined;
  /** All entries, as soon as there is a second. */
  #all: Set<Entry> | undefined;

  get size(): number {
    if (this.#all) return this.#all.size;
    return this.#only === undefined ? 0 : 1;
  }

  add(entry: Entry): this {
    if (this.#all) this.#all.add(entry);
    else if (this.#only === undefined || this.#only === entry) this.#only = entry;
    else {
      this.#all = new Set([this.#only, entry]);
      this.#only = undefined;
    }
    return this;
  }

  delete(entry: Entry): boolean {
    if (this.#all) return this.#all.delete(entry);
    if (this.#only === undefined || this.#only !== entry) return false;
    this.#only = undefined;
    return true;
  }

  /** The entries, in the order in which they were added. */
  [Symbol.iterator](): Iterator<Entry> {
    if (this.#all) return this.#all[Symbol.iterator]();
    return (this.#only === undefined ? [] : [this.#only])[Symbol.iterator]();
  }
}
