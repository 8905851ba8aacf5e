// What the outside was told last, and what it is to be told next: only what differs in content.

/** Whether two plain values (text, numbers, lists, objects without behaviour) say the same. */
export function sameContent(first: unknown, second: unknown): boolean {
  if (first === second) return true;
  if (typeof first !== 'object' || typeof second !== 'object' || first === null || second === null) return false;
  if (Array.isArray(first)) {
    return Array.isArray(second) && first.length === second.length && first.every((entry, index) => sameContent(entry, second[index]));
  }
  const [names, others] = [Object.keys(first), Object.keys(second)];
  if (Array.isArray(second) || names.length !== others.length) return false;
  return names.every((name) => Object.hasOwn(second, name) && sameContent(first[name as never], second[name as never]));
}

export class Outbox<Id, Value> {
  readonly #told = new Map<Id, Value>();
  readonly #next = new Map<Id, Value | undefined>();

  /** The value is now this; undefined: there is none. */
  put(id: Id, value: Value | undefined): void {
    const told = this.#told.get(id);
    if (value === undefined ? told === undefined : told !== undefined && sameContent(told, value)) this.#next.delete(id);
    else this.#next.set(id, value);
  }

  take(): Map<Id, Value | undefined> {
    const changes = new Map(this.#next);
    this.#next.clear();
    for (const [id, value] of changes) {
      if (value === undefined) this.#told.delete(id);
      else this.#told.set(id, value);
    }
    return changes;
  }
}
