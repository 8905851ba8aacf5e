// Every endpoint and network set of the cluster, each with its labels and its contribution to IP sets. Nothing else about it is kept. Its own labels win over those of its profiles.
import { type Contribution, sameContribution } from './contribution.ts';
import type { LabelList, Labelling, LabelTable } from './labels.ts';

/** Something with labels and addresses. `profiles` are those that it inherits labels from; the first profile that has a label decides. */
export type Contributor = { readonly labels: LabelList; readonly profiles: readonly string[]; readonly contribution: Contribution };

/** A contribution with the labelling that it belongs to. */
export type Placed = Contribution & { readonly labelling: Labelling };

/** Is called while contributors change. */
export type ContributorsListener = {
  /** Called before the labelling's first carrier is added. */
  labellingAppeared(labelling: Labelling): void;
  /** Called after the labelling's last carrier was removed. */
  labellingDisappeared(labelling: Labelling): void;
  /** Called when a contribution came, went, changed or moved to another labelling. */
  contributionChanged(before: Placed | undefined, after: Placed | undefined): void;
  /** Called when a profile's labels moved a contributor, whose own value did not change, to another labelling. */
  relabelled(key: string, labelling: Labelling): void;
};

/** There is one for every endpoint of the cluster: a field more is a megabyte. */
type Entry = {
  -readonly [Field in keyof Placed]: Placed[Field];
} & {
  place: number;
  /** Undefined for a contributor without profiles. */
  inheritance: Inheritance | undefined;
};

/** What the labels of a contributor with profiles are merged from again when a profile changes. */
type Inheritance = { readonly own: LabelList; readonly profiles: readonly string[] };

const none: readonly string[] = [];

/** The contributors, by datastore key. */
export class Contributors {
  readonly #entries = new Map<string, Entry>();
  readonly #heirs = new Map<string, Set<string>>();
  readonly #profileLabels = new Map<string, ReadonlyMap<string, string>>();
  readonly #table: LabelTable;
  readonly #listener: ContributorsListener;

  constructor(table: LabelTable, listener: ContributorsListener) {
    this.#table = table;
    this.#listener = listener;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Whether there is a contributor under a datastore key. */
  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** Sets the contributor under a datastore key, and returns its labelling. Cost: the selectors that match it before and after. */
  set(key: string, contributor: Contributor): Labelling {
    const { labels, profiles, contribution } = contributor;
    const entry = this.#entries.get(key);
    const labelling = this.#acquire(this.#inherit(labels, profiles));
    if (!entry) {
      const created: Entry = { labelling, nets: contribution.nets, ports: contribution.ports, place: 0, inheritance: inheritanceOf(labels, profiles) };
      this.#entries.set(key, created);
      labelling.addCarrier(created);
      this.#setHeir(key, none, profiles);
      this.#listener.contributionChanged(undefined, created);
      return labelling;
    }
    this.#setHeir(key, profilesOf(entry), profiles);
    entry.inheritance = inheritanceOf(labels, profiles);
    this.#move(entry, labelling, contribution);
    return labelling;
  }

  /** Removes the contributor under a datastore key. */
  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#entries.delete(key);
    this.#setHeir(key, profilesOf(entry), none);
    entry.labelling.removeCarrier(entry);
    this.#listener.contributionChanged(entry, undefined);
    this.#release(entry.labelling);
  }

  /** Sets the labels of a profile; undefined when the profile is gone. Cost: the endpoints that name the profile. */
  setProfileLabels(profile: string, labels: ReadonlyMap<string, string> | undefined): void {
    if (sameLabels(this.#profileLabels.get(profile), labels)) return;
    if (labels && labels.size > 0) this.#profileLabels.set(profile, labels);
    else this.#profileLabels.delete(profile);
    for (const key of this.#heirs.get(profile) ?? none) {
      const entry = this.#entries.get(key)!;
      const labelling = this.#acquire(this.#inherit(entry.inheritance?.own ?? none, profilesOf(entry)));
      const moved = labelling !== entry.labelling;
      this.#move(entry, labelling, entry);
      if (moved) this.#listener.relabelled(key, labelling);
    }
  }

  /** Moves an entry. The caller has acquired `labelling` for it. */
  #move(entry: Entry, labelling: Labelling, contribution: Contribution): void {
    const before: Placed = { labelling: entry.labelling, nets: entry.nets, ports: entry.ports };
    if (labelling === before.labelling && sameContribution(before, contribution)) {
      this.#table.release(labelling); // the caller and the entry both held it
      return;
    }
    entry.labelling.removeCarrier(entry);
    entry.labelling = labelling;
    entry.nets = contribution.nets;
    entry.ports = contribution.ports;
    labelling.addCarrier(entry);
    this.#listener.contributionChanged(before, entry);
    this.#release(before.labelling);
  }

  #inherit(own: LabelList, profiles: readonly string[]): LabelList {
    if (profiles.length === 0 || this.#profileLabels.size === 0) return own;
    const labels = new Map<string, string>();
    for (let index = 0; index < own.length; index += 2) labels.set(own[index]!, own[index + 1]!);
    for (const profile of profiles) for (const [name, value] of this.#profileLabels.get(profile) ?? []) if (!labels.has(name)) labels.set(name, value);
    return [...labels].flat();
  }

  #setHeir(key: string, before: readonly string[], after: readonly string[]): void {
    if (before === after) return;
    for (const profile of before) {
      const heirs = this.#heirs.get(profile);
      heirs?.delete(key);
      if (heirs?.size === 0) this.#heirs.delete(profile);
    }
    for (const profile of after) {
      const heirs = this.#heirs.get(profile);
      if (heirs) heirs.add(key);
      else this.#heirs.set(profile, new Set([key]));
    }
  }

  #acquire(labels: LabelList): Labelling {
    const labelling = this.#table.acquire(labels);
    if (labelling.uses === 1) this.#listener.labellingAppeared(labelling);
    return labelling;
  }

  #release(labelling: Labelling): void {
    this.#table.release(labelling);
    if (labelling.uses === 0) this.#listener.labellingDisappeared(labelling);
  }
}

const profilesOf = ({ inheritance }: Entry): readonly string[] => inheritance?.profiles ?? none;
const inheritanceOf = (own: LabelList, profiles: readonly string[]): Inheritance | undefined => (profiles.length > 0 ? { own, profiles } : undefined);

function sameLabels(first: ReadonlyMap<string, string> | undefined, second: ReadonlyMap<string, string> | undefined): boolean {
  if ((first?.size ?? 0) !== (second?.size ?? 0)) return false;
  for (const [name, value] of first ?? []) if (second?.get(name) !== value) return false;
  return true;
}
