// Which selectors match which labellings, kept current while both come and go. Equal selectors share one node, which is evaluated once for each labelling that it may match.
import type { Selector } from '../selector/canonical.ts';
import { matches } from '../selector/evaluate.ts';
import { type Cover, covers } from '../selector/requirements.ts';
import { LabellingIndex, SelectorIndex } from './label-index.ts';
import type { Labelling } from './labels.ts';
import { SmallSet } from './small.ts';

type Node<User> = { readonly selector: Selector; readonly covers: readonly Cover[]; filedUnder: Cover | undefined; readonly users: SmallSet<User> };

/** The matches of selectors and labellings. `User` is what uses a selector: a policy or an IP set. */
export class Matching<User> {
  readonly #nodes = new Map<string, Node<User>>();
  readonly #selectors = new SelectorIndex<Node<User>>();
  readonly #labellings = new LabellingIndex();
  /** The nodes that match each labelling. Labellings without a match are absent. Lists take less memory than sets; they are short, and there may be one for every endpoint. */
  readonly #matches = new Map<Labelling, Node<User>[]>();

  /** The number of distinct selectors. */
  get selectorCount(): number {
    return this.#nodes.size;
  }

  /** The number of pairs of labelling and matching selector. Counted on demand; tests check that it does not grow without bound. */
  get matchCount(): number {
    return [...this.#matches.values()].reduce((sum, matched) => sum + matched.length, 0);
  }

  /** The number of selectors that require no label, so that they are evaluated for every labelling. */
  get scannedCount(): number {
    return this.#selectors.everywhereCount;
  }

  /** Adds a user of a selector. Cost for a new selector: the labellings that have a label of its cheapest cover. */
  addUser(selector: Selector, user: User): void {
    let node = this.#nodes.get(selector.text);
    if (!node) {
      node = { selector, covers: covers(selector.expression), filedUnder: undefined, users: new SmallSet() };
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

  /** Removes a user of a selector. */
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

  /** Adds a labelling. Cost: the selectors that are filed under its labels, and those that require no label. */
  addLabelling(labelling: Labelling): void {
    this.#labellings.add(labelling);
    const matched: Node<User>[] = [];
    for (const node of this.#selectors.candidates(labelling)) {
      const known = node.filedUnder && node.filedUnder.length > 1 && matched.includes(node); // a node that is filed under several keys may occur several times
      if (!known && matches(node.selector.expression, labelling)) matched.push(node);
    }
    if (matched.length > 0) this.#matches.set(labelling, matched.slice());
  }

  /** Removes a labelling. */
  removeLabelling(labelling: Labelling): void {
    this.#labellings.delete(labelling);
    this.#matches.delete(labelling);
  }

  /** The labellings that a selector with users matches. */
  *labellingsOf(selector: Selector): Iterable<Labelling> {
    const node = this.#nodes.get(selector.text);
    if (!node) return;
    for (const labelling of this.#labellings.find(node.covers)) if (this.#matches.get(labelling)?.includes(node)) yield labelling;
  }

  /** The users of all selectors that match a labelling. */
  *usersOf(labelling: Labelling): Iterable<User> {
    for (const node of this.#matches.get(labelling) ?? []) yield* node.users;
  }
}
