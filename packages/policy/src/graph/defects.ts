// What in the datastore is not understood, or cannot all hold at once: told when it appears, when its reason changes, and when it is gone.
import type { Defect } from '@calico-openstack/datamodel';

/** `content`: of the value itself. `place`: of the value among others (an address or interface that another has, a profile that does not exist). */
export type DefectSource = 'content' | 'place';

/** Enough to find the first mistakes by; the number of the others is told. */
const reasonsMax = 5;

export class Defects {
  readonly #reasons: Readonly<Record<DefectSource, Map<string, string>>> = { content: new Map(), place: new Map() };
  readonly #told = new Map<string, string>();
  readonly #touched = new Set<string>();

  set(key: string, source: DefectSource, reasons: readonly string[]): void {
    const held = this.#reasons[source];
    if (reasons.length === 0) {
      if (held.delete(key)) this.#touched.add(key);
      return;
    }
    const further = reasons.length - reasonsMax;
    held.set(key, reasons.slice(0, reasonsMax).join('; ') + (further > 0 ? `; and ${further} more` : ''));
    this.#touched.add(key);
  }

  take(): Map<string, Defect | undefined> {
    const changes = new Map<string, Defect | undefined>();
    for (const key of this.#touched) {
      const reason = [this.#reasons.content.get(key), this.#reasons.place.get(key)].filter((part) => part !== undefined).join('; ');
      if (reason === (this.#told.get(key) ?? '')) continue;
      if (reason === '') this.#told.delete(key);
      else this.#told.set(key, reason);
      changes.set(key, reason === '' ? undefined : { key, reason });
    }
    this.#touched.clear();
    return changes;
  }
}
