// The changes that have to be checked, kept in a file until etcd has them: announced changes, failed ones, and those just written, which are checked once more.
//
// The reason for the second check: a writer that finds nothing to change leaves no trace in etcd. Another writer that read older rows may still write after it, and nobody would
// notice. So every write is followed by one more check. Its rows are at least as new as those of every writer that found nothing to change.
import { sameContent } from '@calico-openstack/datamodel';
import { type Change, changeKey, mergeChanges } from './change.ts';
import { type JournalFile, noJournalFile, openJournalFile, readOpen } from './journal-file.ts';

type Entry = {
  change: Change;
  /** The marks of announcements before a commit that were not completed yet, and until when each is waited for (milliseconds since 1970). */
  readonly marks: Map<string, number>;
  /** When to check the object, in milliseconds since 1970; undefined when it is checked only after a mark has expired. */
  dueMs: number | undefined;
  /** Counts the changes that came in, so that a finished look can tell whether another change came in during it. */
  generation: number;
  failures: number;
};

/** A change that was taken out of the journal to check its object. It is handed back with its generation. */
export type Look = { readonly change: Change; readonly generation: number };

/** The changes that have to be checked, on disk. */
export interface Journal {
  /** Records changes before Neutron's commit. They stay until `after` or `complete` is called for the marks, or their time runs out. @throws when they cannot be written; then Neutron must not commit */
  before(changes: readonly Change[], marks: readonly string[]): void;
  /** Called after the commit. Takes the changes out for a check, and returns them. */
  after(changes: readonly Change[], marks: readonly string[]): readonly Look[];
  /** Called after a commit that left nothing to check. */
  complete(marks: readonly string[]): void;
  /** Schedules a check in the background after `delayMs`. A check that is due earlier replaces it. */
  add(changes: readonly Change[], delayMs?: number): void;
  /** Hands looks back as done. Changes that were written (`wrote`) are checked once more; those that lacked the project's name (`lacking`) are checked again after a while. */
  done(looks: readonly Look[], wrote: readonly Change[], lacking?: readonly Change[]): void;
  /** Hands looks back as failed; they are retried after a pause. */
  failed(looks: readonly Look[]): void;
  /** Ends the wait for these marks: their connection is gone, so nobody will complete them. */
  abandon(marks: Iterable<string>): void;
  /** Takes out up to `limit` changes that are due, until they are handed back. */
  take(limit: number): readonly Look[];
  /** Milliseconds until the next change is due: 0 when one is due now, undefined when the journal is empty. */
  readonly restMs: number | undefined;
  /** The number of objects in the journal. */
  readonly size: number;
  /** The number of lines that could not be read when the file was opened: changes may be lost. */
  readonly unreadable: number;
  /** The number of objects whose last check failed. */
  readonly failing: number;
  close(): void;
}

/** How long the commit of an announced change is waited for, in milliseconds. Neutron's transactions take less. */
export const longestCommitMs = 60_000;

/** The journal's file and times. */
export type JournalOptions = {
  /** The file's path; undefined for a journal in memory only (tests). */
  readonly file?: string;
  readonly nowMs?: () => number;
  /** How long to wait for the commit of an announced change. It must be longer than Neutron's transactions take. The default is `longestCommitMs`. */
  readonly announcedMs?: number;
  /** How long after a write a change is checked once more: this time on average, at most half of it sooner or later. The default is 1000. */
  readonly checkMs?: number;
  /** Called once when the file cannot be written, until it can be again. */
  readonly onUnwritable?: (error: unknown) => void;
  readonly onRecovered?: () => void;
};

/** When to check what was written now. Checks meet at whole multiples of `checkMs`, so that the rows of many objects are read at once. */
const nextCheckMs = (nowMs: number, checkMs: number): number => (checkMs === 0 ? nowMs : Math.ceil((nowMs + checkMs / 2) / checkMs) * checkMs);

const firstRetryMs = 500;
const maxRetryMs = 30_000;
/** After this time a change that lacked the project's name is checked again. */
const lackingMs = 30_000;

/** Opens the journal. All changes in its file are due at once. A last line that a crash cut short is skipped, like any other that cannot be read. @throws the system's error when the file cannot be read or written */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: its methods are a few lines each over one map of entries, which nothing else may change
export function openJournal({
  file,
  nowMs = Date.now,
  announcedMs = longestCommitMs,
  checkMs = 1000,
  onUnwritable = () => {},
  onRecovered = () => {},
}: JournalOptions = {}): Journal {
  const entries = new Map<string, Entry>();
  /** The number of looks of each object that were not handed back yet. */
  const taken = new Map<string, number>();
  const before = file === undefined ? { open: [], unreadable: 0 } : readOpen(file);
  for (const change of before.open) entries.set(changeKey(change), { change, marks: new Map(), dueMs: nowMs(), generation: 0, failures: 0 });
  const { record, recordIfPossible, close } = file === undefined ? noJournalFile : openJournalFile(file, entries, { onUnwritable, onRecovered });

  function note(change: Change, write: JournalFile['record'] = recordIfPossible): Entry {
    const key = changeKey(change);
    const known = entries.get(key);
    const merged = mergeChanges(known?.change, change);
    if (!known || !sameContent(known.change, merged)) write({ open: merged });
    const entry = known ?? { change: merged, marks: new Map(), dueMs: undefined, generation: 0, failures: 0 };
    entry.change = merged;
    entry.generation += 1;
    entries.set(key, entry);
    return entry;
  }

  function closeIfSettled(key: string, entry: Entry): void {
    if (entry.marks.size > 0 || entry.dueMs !== undefined || taken.has(key)) return;
    entries.delete(key);
    recordIfPossible({ done: key });
  }

  const dueOf = (entry: Entry): number | undefined => {
    const times = [...(entry.dueMs === undefined ? [] : [entry.dueMs]), ...entry.marks.values()];
    return times.length > 0 ? Math.min(...times) : undefined;
  };

  const look = (key: string, entry: Entry): Look => {
    taken.set(key, (taken.get(key) ?? 0) + 1);
    entry.dueMs = undefined;
    return { change: entry.change, generation: entry.generation };
  };

  const back = (looks: readonly Look[], each: (entry: Entry, look: Look) => void): void => {
    for (const one of looks) {
      const key = changeKey(one.change);
      const others = (taken.get(key) ?? 1) - 1;
      if (others > 0) taken.set(key, others);
      else taken.delete(key);
      const entry = entries.get(key);
      if (!entry) continue;
      each(entry, one);
      closeIfSettled(key, entry);
    }
  };

  const soonest = (entry: Entry, atMs: number): void => {
    entry.dueMs = Math.min(entry.dueMs ?? atMs, atMs);
  };

  return {
    before(changes, marks) {
      for (const change of changes) {
        const entry = note(change, record);
        for (const mark of marks) entry.marks.set(mark, nowMs() + announcedMs);
      }
    },
    after(changes, marks) {
      return changes.map((change) => {
        const entry = note(change);
        for (const mark of marks) entry.marks.delete(mark);
        return look(changeKey(change), entry);
      });
    },
    complete(marks) {
      for (const [key, entry] of entries) if (marks.filter((mark) => entry.marks.delete(mark)).length > 0) closeIfSettled(key, entry);
    },
    add(changes, delayMs = 0) {
      for (const change of changes) soonest(note(change), nowMs() + delayMs);
    },
    done(looks, wrote, lacking = []) {
      const [written, later] = [wrote, lacking].map((changes) => new Set(changes.map(changeKey))) as [Set<string>, Set<string>];
      back(looks, (entry, one) => {
        entry.failures = 0;
        if (written.has(changeKey(one.change))) soonest(entry, nextCheckMs(nowMs(), checkMs));
        else if (entry.generation !== one.generation && entry.marks.size === 0) soonest(entry, nowMs());
        else if (later.has(changeKey(one.change))) soonest(entry, nowMs() + lackingMs);
      });
    },
    failed(looks) {
      back(looks, (entry) => {
        entry.failures += 1;
        soonest(entry, nowMs() + Math.min(maxRetryMs, firstRetryMs * 2 ** (entry.failures - 1)));
      });
    },
    abandon(marks) {
      const gone = new Set(marks);
      if (gone.size === 0) return;
      for (const entry of entries.values()) for (const mark of entry.marks.keys()) if (gone.has(mark) && entry.marks.delete(mark)) soonest(entry, nowMs());
    },
    take(limit) {
      const looks: Look[] = [];
      for (const [key, entry] of entries) {
        if (looks.length >= limit) break;
        if (taken.has(key) || (dueOf(entry) ?? Number.POSITIVE_INFINITY) > nowMs()) continue;
        for (const [mark, until] of entry.marks) if (until <= nowMs()) entry.marks.delete(mark);
        looks.push(look(key, entry));
      }
      return looks;
    },
    get restMs() {
      let next: number | undefined;
      for (const [key, entry] of entries) {
        const due = taken.has(key) ? undefined : dueOf(entry);
        if (due !== undefined && (next === undefined || due < next)) next = due;
      }
      return next === undefined ? undefined : Math.max(0, next - nowMs());
    },
    unreadable: before.unreadable,
    get size() {
      return entries.size;
    },
    get failing() {
      let failing = 0;
      for (const entry of entries.values()) if (entry.failures > 0) failing += 1;
      return failing;
    },
    close,
  };
}
