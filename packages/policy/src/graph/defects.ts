// Defects: datastore values that are not understood or contradict others. A defect is reported when it appears, when its reason changes, and when it is gone.
import type { Defect } from '@calico-openstack/datamodel';

/** `content`: the value itself is not understood. `place`: the value contradicts others (its address or interface belongs to another endpoint, its profile does not exist). */
export type DefectSource = 'content' | 'place';

/** The most reasons that a defect lists. Only the number of the others is stated. */
const reasonsMax = 5;

/** The defects of all datastore keys. */
export class Defects {
  readonly #reasons: Readonly<Record<DefectSource, Map<string, string>>> = { content: new Map(), place: new Map() };
  readonly #told = new Map<string, string>();
  readonly #touched = new Set<string>();

  /** Replaces the defects of a key from one source; an empty list removes them. */
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

  /** The defects that changed since the last call; undefined for a key whose defects are gone. */
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
