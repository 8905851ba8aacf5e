// Names of Keystone's projects, kept for a while. What cannot be learned now is left out, and asked for again later.
import type { ProjectRow, RowsSource } from './rows.ts';

/** By id. undefined: none of Keystone's. What Keystone could not be asked is not there. */
export type ProjectNames = ReadonlyMap<string, ProjectRow | undefined>;

export type ProjectsOptions = {
  readonly max: number;
  readonly onFailure: (error: unknown) => void;
  readonly now?: () => number;
  readonly keepMs?: number;
  readonly retryMs?: number;
};

/** Asks only for what is not known; drops the one unused for longest when there are more than `max`. After a failure nobody is asked for `retryMs`: an API call shall not wait for Keystone each time. */
export function projectNames({ max, onFailure, now = Date.now, keepMs = 600_000, retryMs = 10_000 }: ProjectsOptions) {
  const known = new Map<string, { readonly row: ProjectRow | undefined; readonly untilMs: number }>();
  let silentUntilMs = 0;
  return async function projects(ids: readonly string[], source: RowsSource): Promise<ProjectNames> {
    const unknown = ids.filter((id) => (known.get(id)?.untilMs ?? 0) <= now());
    if (unknown.length > 0 && now() >= silentUntilMs) {
      try {
        const rows = new Map((await source.projects(unknown)).map((row) => [row.id, row]));
        for (const id of unknown) known.set(id, { row: rows.get(id), untilMs: now() + keepMs });
      } catch (error) {
        silentUntilMs = now() + retryMs;
        onFailure(error);
      }
    }
    const result = new Map<string, ProjectRow | undefined>();
    for (const id of ids) {
      const entry = known.get(id);
      if (!entry) continue;
      known.delete(id); // the newest used stands last
      known.set(id, entry);
      result.set(id, entry.row);
    }
    for (const id of known.keys()) {
      if (known.size <= Math.max(max, ids.length)) break;
      known.delete(id);
    }
    return result;
  };
}
