// Divides the datastore's changes into portions, so that no turn of the loop takes long: a hundred thousand new members of a set cost the kernel a second. A portion ends between two
// transactions, so that each step programs a state that the datastore has had. Changes that are only known as the difference between two states, after an absence of etcd, are never
// divided: half of such a difference is a state that never existed, and may allow packets that neither state allowed. Pure: the caller measures the time.
import type { Change } from '@calico-openstack/etcd';

/** The aim for the longest step. The loop's longest turn is about twice as long, when a portion costs more than the ones before. */
const longestStepMs = 100;
/** The size of a portion at first, at least and at most, in bytes of keys and values. */
const [firstBytes, leastBytes, mostBytes] = [256 * 1024, 16 * 1024, 16 * 1024 * 1024] as const;
/** The number of bytes that is added to the size of each change, because a deletion has no value and costs as much as any other change. */
const perChangeBytes = 1024;

/** The changes that have arrived and have not been processed. */
export class WaitingChanges {
  readonly #waiting: { readonly changes: readonly Change[]; readonly isHistory: boolean }[] = [];
  /** How many changes of the first list have been taken. */
  #taken = 0;
  #budgetBytes = firstBytes;
  #portionBytes = 0;

  /** Adds changes behind the others. @param isHistory whether they are whole transactions, one after the other, and not a difference */
  add(changes: readonly Change[], isHistory: boolean): void {
    if (changes.length > 0) this.#waiting.push({ changes, isHistory });
  }

  /** Whether no change is waiting. */
  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** Takes the next portion: whole transactions or differences, at least one. */
  take(): readonly Change[] {
    const portion: Change[] = [];
    this.#portionBytes = 0;
    for (let change = this.#first(); change; change = this.#first()) {
      const bytes = perChangeBytes + change.key.length + (change.value?.length ?? 0);
      const last = portion.at(-1);
      const isWithin = last?.modRevision === change.modRevision || (this.#taken > 0 && !this.#waiting[0]!.isHistory);
      if (last && !isWithin && this.#portionBytes + bytes > this.#budgetBytes) break;
      portion.push(change);
      this.#portionBytes += bytes;
      this.#drop();
    }
    return portion;
  }

  /** Says how long the step with the last portion took. The next portions are smaller or greater accordingly. */
  noteTook(tookMs: number): void {
    if (this.#portionBytes === 0) return;
    const wanted = tookMs > longestStepMs ? (this.#portionBytes * longestStepMs) / tookMs : this.#portionBytes * 2;
    // A small portion that was fast says nothing about great ones.
    if (tookMs > longestStepMs || wanted > this.#budgetBytes) this.#budgetBytes = Math.min(mostBytes, Math.max(leastBytes, wanted));
    this.#portionBytes = 0;
  }

  #first(): Change | undefined {
    return this.#waiting[0]?.changes[this.#taken];
  }

  #drop(): void {
    this.#taken += 1;
    if (this.#taken < this.#waiting[0]!.changes.length) return;
    this.#waiting.shift();
    this.#taken = 0;
  }
}
