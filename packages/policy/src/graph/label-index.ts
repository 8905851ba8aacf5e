// Two indexes by label name and value: labellings, for a new selector to find what it matches; selectors, for a new labelling to find what matches it.
import type { Cover, LabelKey } from '../selector/requirements.ts';
import type { Labelling } from './labels.ts';
import { getOrMake } from './maps.ts';

const newSet = <T>(): Set<T> => new Set();

type NamedLabellings = { count: number; readonly values: Map<string, Set<Labelling>> };
const newLabellings = (): NamedLabellings => ({ count: 0, values: new Map() });

type NamedEntries<Entry> = { readonly any: Set<Entry>; readonly values: Map<string, Set<Entry>> };
const newEntries = <Entry>(): NamedEntries<Entry> => ({ any: new Set(), values: new Map() });

export class LabellingIndex {
  readonly #all = new Set<Labelling>();
  readonly #byName = new Map<string, NamedLabellings>();

  add(labelling: Labelling): void {
    this.#all.add(labelling);
    for (const { name, value } of labelling.labels) {
      const named = getOrMake(this.#byName, name, newLabellings);
      named.count += 1;
      getOrMake(named.values, value, newSet<Labelling>).add(labelling);
    }
  }

  delete(labelling: Labelling): void {
    if (!this.#all.delete(labelling)) return;
    for (const { name, value } of labelling.labels) {
      const named = this.#byName.get(name)!;
      named.count -= 1;
      if (named.count === 0) {
        this.#byName.delete(name);
        continue;
      }
      const valued = named.values.get(value)!;
      valued.delete(labelling);
      if (valued.size === 0) named.values.delete(value);
    }
  }

  /** All that have one of the keys of the cheapest of these covers; everything when there is no cover. */
  *find(covers: readonly Cover[]): Iterable<Labelling> {
    let cheapest: Cover | undefined;
    let least = this.#all.size;
    for (const cover of covers) {
      const count = cover.reduce((sum, key) => sum + this.#count(key), 0);
      if (count < least || cheapest === undefined) [cheapest, least] = [cover, count];
    }
    if (!cheapest) yield* this.#all;
    else if (cheapest.length === 1) yield* this.#having(cheapest[0]!);
    else {
      const found = new Set<Labelling>();
      for (const key of cheapest) for (const labelling of this.#having(key)) found.add(labelling);
      yield* found;
    }
  }

  #count({ label, value }: LabelKey): number {
    const named = this.#byName.get(label);
    if (!named) return 0;
    return value === undefined ? named.count : (named.values.get(value)?.size ?? 0);
  }

  *#having({ label, value }: LabelKey): Iterable<Labelling> {
    const named = this.#byName.get(label);
    if (!named) return;
    if (value !== undefined) yield* named.values.get(value) ?? [];
    else for (const labellings of named.values.values()) yield* labellings;
  }
}

export class SelectorIndex<Entry> {
  readonly #everywhere = new Set<Entry>();
  readonly #byName = new Map<string, NamedEntries<Entry>>();

  /**
   * Files an entry under one of its covers and returns which: the one under whose keys the fewest stand already. So a key that all selectors share (the namespace of
   * every security group) soon gathers no more, and each labelling meets few candidates. The choice changes costs only, never results.
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

  /** Everything that may match; an entry filed under several keys may come more than once. */
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
