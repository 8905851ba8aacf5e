// Remembers what was reported last, and collects what to report next: only values that differ in content.
import { sameContent } from '@calico-openstack/datamodel';

/** Values to report, by id. */
export class Outbox<Id, Value> {
  readonly #told = new Map<Id, Value>();
  readonly #next = new Map<Id, Value | undefined>();

  /** Sets the current value; undefined when there is none. */
  put(id: Id, value: Value | undefined): void {
    const told = this.#told.get(id);
    if (value === undefined ? told === undefined : told !== undefined && sameContent(told, value)) this.#next.delete(id);
    else this.#next.set(id, value);
  }

  /** The values that differ from those that were reported; undefined for one that is gone. They count as reported from now on. */
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
