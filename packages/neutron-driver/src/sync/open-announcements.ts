// The announcements before a commit whose second half has not come yet: who made each, and what etcd held of its objects then.
import type { Clock } from '@calico-openstack/agent';
import { longestCommitMs } from './journal.ts';
import type { Found } from './plan.ts';

type Open<Owner> = { readonly owner: Owner; readonly sinceMs: number; readonly found: Found | undefined };

/** The open announcements by their marks. */
export class OpenAnnouncements<Owner> {
  readonly #clock: Pick<Clock, 'steadyMs'>;
  readonly #open = new Map<string, Open<Owner>>();

  /** @param clock what the age of announcements is counted by */
  constructor(clock: Pick<Clock, 'steadyMs'>) {
    this.#clock = clock;
  }

  /** The number of announcements. */
  get size(): number {
    return this.#open.size;
  }

  /**
   * Adds an announcement.
   * @param found the values of its objects' keys in etcd; undefined when they were not read
   */
  add(owner: Owner, marks: readonly string[], found: Found | undefined): void {
    const nowMs = this.#clock.steadyMs();
    for (const [mark, { sinceMs }] of this.#open) {
      if (sinceMs > nowMs - longestCommitMs) break; // the oldest come first
      this.#open.delete(mark); // Neutron has rolled back
    }
    for (const mark of marks) this.#open.set(mark, { owner, sinceMs: nowMs, found });
  }

  /** Ends the announcements with these marks, and returns what the last of them found in etcd; undefined when none of them has read anything. */
  end(marks: readonly string[]): Found | undefined {
    const found = marks.map((mark) => this.#open.get(mark)?.found).findLast((values) => values !== undefined);
    for (const mark of marks) this.#open.delete(mark);
    return found;
  }

  /** Ends the announcements of an owner who has gone, and returns their marks. */
  abandon(owner: Owner): readonly string[] {
    const marks = [...this.#open].filter(([, announced]) => announced.owner === owner).map(([mark]) => mark);
    for (const mark of marks) this.#open.delete(mark);
    return marks;
  }
}
