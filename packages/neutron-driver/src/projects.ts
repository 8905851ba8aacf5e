// A cache of the names of Keystone's projects. A name that cannot be read now is left out, and requested again later.
import type { ProjectRow, RowsSource } from './rows.ts';

/** Projects by id; undefined when Keystone does not know the project. A project for which Keystone did not answer is missing. */
export type ProjectNames = ReadonlyMap<string, ProjectRow | undefined>;

/** The settings of the cache. */
export type ProjectsOptions = {
  readonly max: number;
  readonly onFailure: (error: unknown) => void;
  readonly nowMs?: () => number;
  readonly keepMs?: number;
  readonly retryMs?: number;
};

/**
 * Returns a function that looks up projects. It requests only unknown ones from Keystone, and drops the least recently used beyond `max`. Its `forget` empties the cache, because projects may
 * be renamed. After a failure nothing is requested from Keystone for `retryMs`, so that not every API call waits for it.
 */
export function createProjectNames({ max, onFailure, nowMs = Date.now, keepMs = 600_000, retryMs = 10_000 }: ProjectsOptions) {
  const known = new Map<string, { readonly row: ProjectRow | undefined; readonly untilMs: number }>();
  let silentUntilMs = 0;
  async function projects(ids: readonly string[], source: RowsSource): Promise<ProjectNames> {
    const unknown = ids.filter((id) => (known.get(id)?.untilMs ?? 0) <= nowMs());
    if (unknown.length > 0 && nowMs() >= silentUntilMs) {
      try {
        const rows = new Map((await source.projects(unknown)).map((row) => [row.id, row]));
        for (const id of unknown) known.set(id, { row: rows.get(id), untilMs: nowMs() + keepMs });
      } catch (error) {
        silentUntilMs = nowMs() + retryMs;
        onFailure(error);
      }
    }
    const result = new Map<string, ProjectRow | undefined>();
    for (const id of ids) {
      const entry = known.get(id);
      if (!entry) continue;
      known.delete(id); // moves it to the end, behind those used earlier
      known.set(id, entry);
      result.set(id, entry.row);
    }
    for (const id of known.keys()) {
      if (known.size <= Math.max(max, ids.length)) break;
      known.delete(id);
    }
    return result;
  }
  return Object.assign(projects, { forget: () => known.clear() });
}

/** What `createProjectNames` returns. */
export type ProjectLookup = ReturnType<typeof createProjectNames>;
