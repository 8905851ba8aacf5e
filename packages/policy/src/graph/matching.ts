// Which selectors match which labellings, kept current as either comes and goes. Equal selectors are one node, evaluated once for each labelling that may match.
import type { Selector } from '../selector/canonical.ts';
import { matches } from '../selector/evaluate.ts';
import { type Cover, covers } from '../selector/requirements.ts';
import { LabellingIndex, SelectorIndex } from './label-index.ts';
import type { Labelling } from './labels.ts';

type Node<User> = { readonly selector: Selector; readonly covers: readonly Cover[]; filedUnder: Cover | undefined; readonly users: Set<User> };

/** `User`: what waits behind a selector (a policy, a set). */
export class Matching<User> {
  readonly #nodes = new Map<string, Node<User>>();
  readonly #selectors = new SelectorIndex<Node<User>>();
  readonly #labellings = new LabellingIndex();
  /** Labellings that no selector matches are not here. Lists, not sets: they are short, and there may be one for every endpoint. */
  readonly #matches = new Map<Labelling, Node<User>[]>();

  get selectorCount(): number {
    return this.#nodes.size;
  }

  /** Pairs of labelling and selector: what must not grow for ever. Counted when asked. */
  get matchCount(): number {
    return [...this.#matches.values()].reduce((sum, matched) => sum + matched.length, 0);
  }

  /** Of the selectors, those that demand no label: every labelling is asked. */
  get scannedCount(): number {
    return this.#selectors.everywhereCount;
  }

  /** Cost: the labellings that have what the selector demands; none if the selector is known already. */
  addUser(selector: Selector, user: User): void {
    let node = this.#nodes.get(selector.text);
    if (!node) {
      node = { selector, covers: covers(selector.expression), filedUnder: undefined, users: new Set() };
      node.filedUnder = this.#selectors.add(node, node.covers);
      this.#nodes.set(selector.text, node);
      for (const labelling of this.#labellings.find(node.covers)) {
        if (!matches(selector.expression, labelling)) continue;
        const matched = this.#matches.get(labelling);
        if (matched) matched.push(node);
        else this.#matches.set(labelling, [node]);
      }
    }
    node.users.add(user);
  }

  removeUser(selector: Selector, user: User): void {
    const node = this.#nodes.get(selector.text);
    if (!node?.users.delete(user) || node.users.size > 0) return;
    for (const labelling of this.#labellings.find(node.covers)) {
      const matched = this.#matches.get(labelling) ?? [];
      const index = matched.indexOf(node);
      if (index < 0) continue;
      if (matched.length === 1) this.#matches.delete(labelling);
      else matched.splice(index, 1);
    }
    this.#selectors.delete(node, node.filedUnder);
    this.#nodes.delete(selector.text);
  }

  /** Cost: the selectors that its labels touch. */
  addLabelling(labelling: Labelling): void {
    this.#labellings.add(labelling);
    const matched: Node<User>[] = [];
    for (const node of this.#selectors.candidates(labelling)) {
      const known = node.filedUnder && node.filedUnder.length > 1 && matched.includes(node); // filed under several keys, it may come several times
      if (!known && matches(node.selector.expression, labelling)) matched.push(node);
    }
    if (matched.length > 0) this.#matches.set(labelling, matched.slice());
  }

  removeLabelling(labelling: Labelling): void {
    this.#labellings.delete(labelling);
    this.#matches.delete(labelling);
  }

  *labellingsOf(selector: Selector): Iterable<Labelling> {
    const node = this.#nodes.get(selector.text);
    if (!node) return;
    for (const labelling of this.#labellings.find(node.covers)) if (this.#matches.get(labelling)?.includes(node)) yield labelling;
  }

  *usersOf(labelling: Labelling): Iterable<User> {
    for (const node of this.#matches.get(labelling) ?? []) yield* node.users;
  }
}
