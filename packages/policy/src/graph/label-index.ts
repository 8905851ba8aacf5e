// Two indexes by label name and value. With the index of labellings a new selector finds what it may match; with the index of selectors a new labelling finds what may match it.
import type { Cover, LabelKey } from '../selector/requirements.ts';
import type { Labelling } from './labels.ts';
import { getOrMake } from './maps.ts';
import { SmallMap, SmallSet } from './small.ts';

/** A labelling in the index. A removed labelling stays in the lists for a while, flagged as gone; a list is cleaned up when half of its entries are gone. */
type Posting = { readonly labelling: Labelling; gone: boolean };
type Postings = { list: Posting[]; gone: number };
type NamedPostings = { count: number; readonly values: SmallMap<string, Postings> };

const newNamedPostings = (): NamedPostings => ({ count: 0, values: new SmallMap() });

/** The labellings, by each of their labels. */
export class LabellingIndex {
  readonly #all = new Map<Labelling, Posting>();
  readonly #byName = new Map<string, NamedPostings>();

  add(labelling: Labelling): void {
    const posting: Posting = { labelling, gone: false };
    this.#all.set(labelling, posting);
    for (const { name, value } of labelling.labels) {
      const named = getOrMake(this.#byName, name, newNamedPostings);
      named.count += 1;
      const postings = named.values.get(value);
      if (postings) postings.list.push(posting);
      else named.values.set(value, { list: [posting], gone: 0 }); // a list made with its first entry has room for one, a list pushed to for seventeen
    }
  }

  delete(labelling: Labelling): void {
    const posting = this.#all.get(labelling);
    if (!posting) return;
    this.#all.delete(labelling);
    posting.gone = true;
    for (const { name, value } of labelling.labels) {
      const named = this.#byName.get(name)!;
      const postings = named.values.get(value)!;
      named.count -= 1;
      postings.gone += 1;
      if (postings.gone === postings.list.length) named.values.delete(value);
      else if (postings.gone * 2 > postings.list.length) {
        postings.list = postings.list.filter(({ gone }) => !gone);
        postings.gone = 0;
      }
      if (named.count === 0) this.#byName.delete(name);
    }
  }

  /** All labellings that have one of the keys of the cheapest of these covers; every labelling when there is no cover. */
  *find(covers: readonly Cover[]): Iterable<Labelling> {
    let cheapest: Cover | undefined;
    let least = this.#all.size;
    for (const cover of covers) {
      const count = cover.reduce((sum, key) => sum + this.#count(key), 0);
      if (count < least || cheapest === undefined) [cheapest, least] = [cover, count];
    }
    if (!cheapest) yield* this.#all.keys();
    else if (cheapest.length === 1) yield* this.#having(cheapest[0]!);
    else {
      const found = new Set<Labelling>();
      for (const key of cheapest) for (const labelling of this.#having(key)) found.add(labelling);
      yield* found;
    }
  }

  #count({ label, value }: LabelKey): number {
    const named = this.#byName.get(label);
    if (!named || value === undefined) return named?.count ?? 0;
    const postings = named.values.get(value);
    return postings ? postings.list.length - postings.gone : 0;
  }

  *#having({ label, value }: LabelKey): Iterable<Labelling> {
    const named = this.#byName.get(label);
    if (!named) return;
    const found = value === undefined ? named.values.values() : [named.values.get(value)];
    for (const postings of found) for (const { labelling, gone } of postings?.list ?? []) if (!gone) yield labelling;
  }
}

type NamedEntries<Entry> = { readonly any: SmallSet<Entry>; readonly values: SmallMap<string, SmallSet<Entry>> };
const newEntries = <Entry>(): NamedEntries<Entry> => ({ any: new SmallSet(), values: new SmallMap() });
const newSet = <T>(): SmallSet<T> => new SmallSet();

/** Entries (nodes of selectors), by the keys of one of their covers. */
export class SelectorIndex<Entry> {
  readonly #everywhere = new Set<Entry>();
  readonly #byName = new Map<string, NamedEntries<Entry>>();

  /** How many entries have no cover, so that every labelling meets them. */
  get everywhereCount(): number {
    return this.#everywhere.size;
  }

  /**
   * Files an entry under one of its covers, and returns which: the one whose keys have the fewest entries so far. A key that all selectors share (the namespace of every security
   * group) therefore stops collecting entries soon, and each labelling meets few candidates. The choice affects costs, never results.
   */
  add(entry: Entry, covers: readonly Cover[]): Cover | undefined {
    let chosen: Cover | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const cover of covers) {
      const load = cover.reduce((sum, { label, value }) => {
        const named = this.#byName.get(label);
        return sum + 1 + ((value === undefined ? named?.any : named?.values.get(value))?.size ?? 0);
      }, 0);
      if (load < least) [chosen, least] = [cover, load];
    }
    if (!chosen) this.#everywhere.add(entry);
    for (const { label, value } of chosen ?? []) {
      const named = getOrMake(this.#byName, label, newEntries<Entry>);
      if (value === undefined) named.any.add(entry);
      else getOrMake(named.values, value, newSet<Entry>).add(entry);
    }
    return chosen;
  }

  /** Removes an entry. `cover` is what `add` returned for it. */
  delete(entry: Entry, cover: Cover | undefined): void {
    if (!cover) this.#everywhere.delete(entry);
    for (const { label, value } of cover ?? []) {
      const named = this.#byName.get(label);
      if (!named) continue;
      if (value === undefined) named.any.delete(entry);
      else {
        const valued = named.values.get(value);
        valued?.delete(entry);
        if (valued?.size === 0) named.values.delete(value);
      }
      if (named.any.size === 0 && named.values.size === 0) this.#byName.delete(label);
    }
  }

  /** The entries that may match the labelling. An entry that is filed under several keys may occur more than once. */
  *candidates(labelling: Labelling): Iterable<Entry> {
    yield* this.#everywhere;
    for (const { name, value } of labelling.labels) {
      const named = this.#byName.get(name);
      if (!named) continue;
      yield* named.any;
      yield* named.values.get(value) ?? [];
    }
  }
}
