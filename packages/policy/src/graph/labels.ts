// Distinct labels and distinct combinations of them, each held once. Most endpoints of a project share one combination, so selectors are asked of combinations, never of endpoints.
import type { LabelLookup } from '../selector/evaluate.ts';
import type { Contribution } from './contribution.ts';
import { getOrMake } from './maps.ts';

export type Label = { readonly name: string; readonly value: string; readonly id: number /** In how many labellings. */; uses: number };

/** Shared until the first comes: many a labelling has but one. */
const noCarriers: Carrier[] = [];

/** A combination of labels, inherited ones included, and all that carry it. Immutable but for who carries it. */
export class Labelling implements LabelLookup {
  readonly key: string;
  readonly labels: readonly Label[];
  carriers: Carrier[] = noCarriers;
  /** How many hold on to it: it is forgotten when nobody does. */
  uses = 0;

  constructor(key: string, labels: readonly Label[]) {
    this.key = key;
    this.labels = labels;
  }

  get(name: string): string | undefined {
    for (const label of this.labels) if (label.name === name) return label.value;
    return undefined;
  }

  addCarrier(carrier: Carrier): void {
    carrier.place = this.carriers.length;
    if (carrier.place === 0) this.carriers = [carrier];
    else this.carriers.push(carrier);
  }

  /** The last one takes its place: constant time, however many there are. */
  removeCarrier(carrier: Carrier): void {
    const last = this.carriers.pop()!;
    if (last === carrier) return;
    this.carriers[carrier.place] = last;
    last.place = carrier.place;
  }
}

export type Carrier = { readonly contribution: Contribution /** Its index among its labelling's carriers. */; place: number };

/** Names and values in turn: `[name, value, name, value, …]`, each name once. */
export type LabelList = readonly string[];

export class LabelTable {
  readonly #labels = new Map<string, Map<string, Label>>();
  readonly #labellings = new Map<string, Labelling>();
  #nextId = 0;

  get size(): number {
    return this.#labellings.size;
  }

  /** The labelling of these labels, held once more. */
  acquire(list: LabelList): Labelling {
    const labels: Label[] = [];
    for (let index = 0; index < list.length; index += 2) labels.push(this.#label(list[index]!, list[index + 1]!));
    labels.sort((first, second) => first.id - second.id);
    const key = labels.map(({ id }) => id).join(); // joined text is flat; text put together piece by piece stays a tree, of ten times the size
    let labelling = this.#labellings.get(key);
    if (!labelling) {
      labelling = new Labelling(key, labels);
      this.#labellings.set(key, labelling);
      for (const label of labels) label.uses += 1;
    }
    labelling.uses += 1;
    return labelling;
  }

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
    const values = getOrMake(this.#labels, name, () => new Map<string, Label>());
    let label = values.get(value);
    if (!label) {
      label = { name: values.values().next().value?.name ?? name, value, id: this.#nextId, uses: 0 };
      this.#nextId += 1;
      values.set(value, label);
    }
    return label;
  }
}
