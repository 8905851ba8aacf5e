// Distinct labels, and distinct combinations of labels (labellings), each stored once. Most endpoints of a project share one labelling, so selectors are evaluated for labellings and
// never for endpoints.
import type { LabelLookup } from '../selector/evaluate.ts';
import type { Contribution } from './contribution.ts';
import { getOrMake } from './maps.ts';
import { SmallMap } from './small.ts';

/** A label with a value. */
export type Label = {
  readonly name: string;
  readonly value: string;
  readonly id: number;
  /** The number of labellings that have it. */
  uses: number;
};

/** The empty list that all labellings without carriers share, to save memory. */
const noCarriers: Carrier[] = [];

/** A distinct combination of labels, inherited ones included, and its carriers: the contributors that have it. The labels never change; the carriers do. */
export class Labelling implements LabelLookup {
  readonly key: string;
  readonly labels: readonly Label[];
  carriers: Carrier[] = noCarriers;
  /** The number of its users. The table drops a labelling without users. */
  uses = 0;

  constructor(key: string, labels: readonly Label[]) {
    this.key = key;
    this.labels = labels;
  }

  get(name: string): string | undefined {
    for (const label of this.labels) if (label.name === name) return label.value;
    return undefined;
  }

  /** Adds a contributor that has these labels. */
  addCarrier(carrier: Carrier): void {
    carrier.place = this.carriers.length;
    if (carrier.place === 0) this.carriers = [carrier];
    else this.carriers.push(carrier);
  }

  /** Removes a carrier in constant time: the last carrier takes its place. */
  removeCarrier(carrier: Carrier): void {
    const last = this.carriers.pop()!;
    if (last === carrier) return;
    this.carriers[carrier.place] = last;
    last.place = carrier.place;
  }
}

/** A contributor that has a labelling. */
export type Carrier = Contribution & {
  /** Its index in the labelling's list of carriers. */
  place: number;
};

/** Labels as a flat list: `[name, value, name, value, …]`, each name once. */
export type LabelList = readonly string[];

/** All labels and labellings in use. */
export class LabelTable {
  /** By name, then by value: the name of a security group's label has but one. */
  readonly #labels = new Map<string, SmallMap<string, Label>>();
  readonly #labellings = new Map<string, Labelling>();
  #nextId = 0;

  get size(): number {
    return this.#labellings.size;
  }

  /** Counts one more user of the labelling with these labels, and returns it. */
  acquire(list: LabelList): Labelling {
    const labels: Label[] = [];
    for (let index = 0; index < list.length; index += 2) labels.push(this.#label(list[index]!, list[index + 1]!));
    labels.sort((first, second) => first.id - second.id);
    const key = labels.map(({ id }) => id).join(); // join makes a flat string; concatenation would keep a tree of pieces that takes ten times the memory
    let labelling = this.#labellings.get(key);
    if (!labelling) {
      labelling = new Labelling(key, labels.slice()); // a list that was pushed to has room for more
      this.#labellings.set(key, labelling);
      for (const label of labels) label.uses += 1;
    }
    labelling.uses += 1;
    return labelling;
  }

  /** Counts one user less, and drops the labelling after the last. */
  release(labelling: Labelling): void {
    labelling.uses -= 1;
    if (labelling.uses > 0) return;
    this.#labellings.delete(labelling.key);
    for (const label of labelling.labels) {
      label.uses -= 1;
      if (label.uses > 0) continue;
      const values = this.#labels.get(label.name)!;
      values.delete(label.value);
      if (values.size === 0) this.#labels.delete(label.name);
    }
  }

  #label(name: string, value: string): Label {
    const values = getOrMake(this.#labels, name, () => new SmallMap<string, Label>());
    let label = values.get(value);
    if (!label) {
      label = { name: firstOf(values.values())?.name ?? name, value, id: this.#nextId, uses: 0 };
      this.#nextId += 1;
      values.set(value, label);
    }
    return label;
  }
}

function firstOf<Value>(values: Iterable<Value>): Value | undefined {
  for (const value of values) return value;
  return undefined;
}
